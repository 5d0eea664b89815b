"""The web: people, rows, pages, jobs."""
