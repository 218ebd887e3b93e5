"""Updates on their way: out of a site, into the aggregator, and into a sum."""
