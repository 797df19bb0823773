"""Pusher whose versions appear whole or not at all."""

from components.pusher.component import Pusher

__all__ = ["Pusher"]
