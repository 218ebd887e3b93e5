"""One run at the aggregator: its controller, the work of its sites, its status."""
