"""Regression on the pooled table, from sums over sites."""
