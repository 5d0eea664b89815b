"""What pages ask for and do not wait for: jobs with progress."""
