"""Which models and versions are served: looked for, loaded, leased to requests, unloaded."""
