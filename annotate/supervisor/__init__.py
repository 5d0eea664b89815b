"""One command that runs the whole site: the embedded PostgreSQL and Redis, the web and the workers."""
