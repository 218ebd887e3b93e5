"""Tensors of a model that stay at a site, around the session of any learner or script."""
