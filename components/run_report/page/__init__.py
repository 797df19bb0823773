"""The page: templates, style and drawings; no script, and nothing from elsewhere."""
