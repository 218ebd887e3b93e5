"""Receipts of the aggregator: given for outcomes, held against the journals, and the restores they show."""
