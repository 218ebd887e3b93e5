"""Records of a journal: the hash chain and the membership."""
