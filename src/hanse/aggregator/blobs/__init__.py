"""Blobs of a run at the aggregator: retention, and models in fewer bytes."""
