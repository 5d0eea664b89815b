"""Supervised fine-tuning: `python -m rlhf.sft RUNDIR`."""
