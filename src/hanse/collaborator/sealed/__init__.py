"""Sealed runs at a site: models that only its instance opens, updates that only the aggregator's opens."""
