"""Flower's side of the trivial task, summed by SecAgg+."""
