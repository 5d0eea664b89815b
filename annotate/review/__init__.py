"""Every pair and every vote within a lead's reach: what was said, by whom, and what came of it."""
