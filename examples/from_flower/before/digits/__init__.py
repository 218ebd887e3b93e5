"""Images of digits, as a Flower app."""
