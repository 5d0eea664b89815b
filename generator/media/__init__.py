"""Pictures and clips: what a file is, how it is read, written and normalised."""
