"""Federated averaging by rules that a few bad updates cannot move far."""
