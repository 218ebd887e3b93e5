"""Values of evidence and of sealed models."""
