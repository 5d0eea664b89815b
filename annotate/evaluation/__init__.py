"""Evaluation runs, benchmark sets, comparisons and reports."""
