"""Differential prompts: written by models, edited by leads."""
