"""Every write, as verb-first functions."""
