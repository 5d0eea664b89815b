"""Makes videos: portraits, models, sampling. Knows nothing of preferences or of the web."""
