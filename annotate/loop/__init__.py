"""The loop's next step, and the pages that show all of it."""
