"""Evidence and sealed models in a plan."""
