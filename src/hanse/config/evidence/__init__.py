"""Settings about evidence and sealed models."""
