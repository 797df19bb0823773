"""Evaluator whose thresholds are parameters of their own."""

from components.evaluator.component import Evaluator

__all__ = ["Evaluator"]
