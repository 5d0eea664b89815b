"""Video models of others, from local folders in the Diffusers layout."""
