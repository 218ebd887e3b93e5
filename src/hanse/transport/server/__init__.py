"""The HTTPS server of an aggregator."""
