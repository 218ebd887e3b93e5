"""A site's part in masked sums: its vectors, its attempts, and what it asks its people."""
