"""A script of one virtual site in a process of its own, and the session that drives it from outside."""
