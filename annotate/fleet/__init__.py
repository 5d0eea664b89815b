"""GPU workers, which know the broker and the storage and neither Django nor the database."""
