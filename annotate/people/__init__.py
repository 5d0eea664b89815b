"""Import, curation, filtering, instances, datasets."""
