"""Decisions about a workflow's requests: rounds, exchanges, streams and commits."""
