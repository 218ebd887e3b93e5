"""Evidence between parties of a run: what both ends make, ask and decide of it."""
