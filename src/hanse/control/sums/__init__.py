"""Masked sums of an exported journal, held against READYs, signed outcomes and the plan."""
