"""Attesters: evidence of this machine, from the devices that it has."""
