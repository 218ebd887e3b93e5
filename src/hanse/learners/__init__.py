"""The user's model and data behind one interface."""
