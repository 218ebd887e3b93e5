"""Sealed files, encrypted for those whose keys they name, and the keys of a model's owner."""
