"""One thin module a command group."""
