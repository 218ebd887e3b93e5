"""The state machine of a run: commands, events, decisions and the fold over events."""
