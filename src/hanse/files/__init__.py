"""Files: atomic writes, copies with digests, locks, and errors that name the mend."""
