"""Privacy in a plan, beyond what its tasks disclose."""
