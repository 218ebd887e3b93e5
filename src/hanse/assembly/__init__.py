"""Composition: the only package that knows which class fits which setting."""
