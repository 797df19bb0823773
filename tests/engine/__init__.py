"""Opt-in tests of an engine that is no part of the environment: `make test-engine`."""
