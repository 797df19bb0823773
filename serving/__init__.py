"""TF Serving's gRPC API: a typed client and an embedded model server."""
