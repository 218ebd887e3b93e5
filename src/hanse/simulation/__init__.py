"""Virtual sites on one machine."""
