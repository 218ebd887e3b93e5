"""How updates become one model; one paper, one file."""
