"""The image, built and run by Docker: `make test-image`, not part of `make test`."""
