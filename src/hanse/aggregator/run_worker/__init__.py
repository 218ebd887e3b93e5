"""The run worker's process, its supervisor, and the calls between the two."""
