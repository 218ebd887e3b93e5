"""Survival analysis of the pooled table, from sums over sites."""
