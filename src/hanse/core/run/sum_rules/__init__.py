"""Rules of masked sums: what is checked, decided and folded; `hanse.core.run.sums` has the values."""
