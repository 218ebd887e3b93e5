"""Worker processes and what they may reach."""
