"""Privacy of what sites disclose."""
