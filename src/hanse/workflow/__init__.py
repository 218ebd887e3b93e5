"""Federation and Round, and the built-in workflows."""
