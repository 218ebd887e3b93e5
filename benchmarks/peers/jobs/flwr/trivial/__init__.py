"""Flower's side of the trivial task."""
