"""Measurements of models that change none of them."""
