"""Pages: thin doors to queries and services."""
