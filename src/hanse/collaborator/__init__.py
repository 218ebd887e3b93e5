"""The agent beside the data, and its task worker."""
