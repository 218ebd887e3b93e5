"""Progress of a run on a terminal."""
