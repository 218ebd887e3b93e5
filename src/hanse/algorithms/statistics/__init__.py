"""Statistics of the pooled table, from sums over sites."""
