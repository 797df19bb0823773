"""The tests; they mirror the source folders."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # the checkout
