"""Members of the federation and the aggregator's own certificates."""
