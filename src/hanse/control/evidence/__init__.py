"""Evidence, policies and collateral in files: read, verified, put in words, and kept."""
