"""Webhooks and programs."""
