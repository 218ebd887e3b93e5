"""Updates of which only sums over cells are seen: results to words, and sums of words to numbers."""
