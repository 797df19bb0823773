"""A real S3 server on loopback, for whoever speaks to an object store."""
