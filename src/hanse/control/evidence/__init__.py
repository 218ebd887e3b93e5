"""Evidence, policies and collateral in files: read, verified, told in words, and kept."""
