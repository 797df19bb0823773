"""What a workspace keeps: who may use it, its metadata, and what of it is no longer needed."""
