"""Collateral of verifiers: documents by name, checked before they are stored."""
