"""Masked sums in plan files: cells that are written into one, and sentences about them."""
