"""Files of settings to checked values."""
