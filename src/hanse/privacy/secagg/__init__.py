"""Secure aggregation: sums over fixed cells of sites, and no update of a single one.

No module here opens a socket or a file, or reads a clock; randomness, signatures and records are the
caller's. `docs/secure-aggregation.md` has the argument, decision 0041 the formats.
"""
