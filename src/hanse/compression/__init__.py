"""Updates and models in fewer bytes: one paper, one file. What each loses, it states."""
