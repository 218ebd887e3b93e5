"""Evidence of the sites of a run, and of the aggregator itself."""
