"""Evidence of the aggregator of a run, and of this site itself."""
