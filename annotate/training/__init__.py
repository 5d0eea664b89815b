"""Launching, previewing, approving and following training runs."""
