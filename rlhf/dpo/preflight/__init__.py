"""What is known to spoil a Flow-DPO run, looked for before it starts.

Every warning here was met by others in public trainers, or by us in the embedded world; each has its remedy.
Thresholds are where people reported trouble, not where trouble begins.
"""
