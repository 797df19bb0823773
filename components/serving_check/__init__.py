"""Serving check: the candidate answers real images over gRPC before it may be pushed."""

from components.serving_check.component import ServingCheck

__all__ = ["ServingCheck"]
