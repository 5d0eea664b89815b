"""Model versions and their cards."""
