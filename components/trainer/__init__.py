"""Trainer that records with the model what it was trained on, and how."""

from components.trainer.component import Trainer

__all__ = ["Trainer"]
