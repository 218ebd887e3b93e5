"""Algorithms that train one model for all sites."""
