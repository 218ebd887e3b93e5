"""Sealed runs at the aggregator: files that only their owner and the sites' instances can open."""
