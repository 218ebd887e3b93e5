"""Composition of what parties need for evidence and sealed runs."""
