"""Evidence and sealed models in a run."""
