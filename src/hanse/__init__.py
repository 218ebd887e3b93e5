"""Hanse: federated learning for sovereign sites."""
