"""A signing key as commands print it: its fingerprint, and the words for a check by telephone."""

from __future__ import annotations

from hanse.cli.output import say


def say_signing_key(fingerprint: str, words: str) -> None:
    """Print a signing key of the party whose folder this is."""
    say(f"signing key {fingerprint}")
    say(f"  in words: {words}")
