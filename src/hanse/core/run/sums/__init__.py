"""Masked sums of a run: events, and where each cell stands."""
