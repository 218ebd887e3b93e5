"""Typed client of a running aggregator."""
