"""Engines, which perform the tasks of virtual sites."""
