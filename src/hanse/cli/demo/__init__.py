"""The processes behind `hanse demo`."""
