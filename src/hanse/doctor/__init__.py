"""Checks of a machine, a site and a federation."""
