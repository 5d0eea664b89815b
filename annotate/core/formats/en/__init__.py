"""Of the site's one language."""
