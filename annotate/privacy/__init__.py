"""Consent, erasure, and where a person can be."""
