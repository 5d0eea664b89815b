"""Figures of pages and of reports as SVG text.

No script, no chart library, and equal bytes for equal numbers.
"""
