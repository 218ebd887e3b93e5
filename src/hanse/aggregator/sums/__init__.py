"""The aggregator's part in masked sums: READYs, rosters, masked vectors and their sums."""
