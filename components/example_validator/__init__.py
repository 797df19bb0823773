"""ExampleValidator that stops a run at an anomaly, and says it in words."""

from components.example_validator.component import ExampleValidator

__all__ = ["ExampleValidator"]
