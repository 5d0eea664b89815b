"""Flow-DPO: `python -m rlhf.dpo RUNDIR`."""
