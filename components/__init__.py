"""The project's own TFX components, one folder each."""
