"""Notebooks, and the figures in them."""
