"""Who describes and compares: a server, a model in a local folder, or the portrait world."""
