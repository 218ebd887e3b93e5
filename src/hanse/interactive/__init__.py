"""Python and notebooks as a way in: what the commands do, by functions."""
