"""Verification of what a machine runs: evidence, policies and verdicts, without I/O."""
