"""PostgreSQL as Django knows it, with a check of kept connections that asks nothing."""
