"""Published algorithms: each a file with its settings, its plan, its workflow and its arithmetic."""
