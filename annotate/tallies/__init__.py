"""Counts that the database keeps: read as sums, folded into few rows, and counted anew."""
