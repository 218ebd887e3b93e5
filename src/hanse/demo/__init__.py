"""What `hanse demo` runs and `hanse new` writes; the code of plans lies in folders, as data."""
