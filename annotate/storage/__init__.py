"""Videos, run folders and exports under one address: a folder, or a bucket of an S3 server."""
