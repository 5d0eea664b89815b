"""What supervised fine-tuning and Flow-DPO share."""
