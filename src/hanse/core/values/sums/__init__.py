"""Values of masked sums, as they are stated and recorded."""
