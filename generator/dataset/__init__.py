"""People, their media, annotations and instances as a folder that other tools read; see docs/dataset.md."""
