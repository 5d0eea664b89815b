"""Reproduces the shipped checkpoint: the VAE, the oracle, the transformer, in this order."""
