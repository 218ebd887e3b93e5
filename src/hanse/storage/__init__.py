"""Journals and blob stores."""
