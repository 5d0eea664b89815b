"""Supervised fine-tuning: sets of instances with targets, their launch, and pages of its runs."""
