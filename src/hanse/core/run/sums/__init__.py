"""Masked sums of a run: events, commands, and where each cell stands."""
