"""Algorithms that leave a model of its own at each site, or at each group of sites."""
