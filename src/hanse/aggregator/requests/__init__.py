"""Handlers of the aggregator's requests, by who sends them."""
