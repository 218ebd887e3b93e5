"""Rules of a run about evidence and sealed models."""
