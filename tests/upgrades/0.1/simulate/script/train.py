"""A training script whose every number is exact."""

import numpy as np

import hanse

site = hanse.site()
mine = site.share(np.arange(120) % 4)
model = {"weight": np.zeros(8, np.float32)}
for round in hanse.rounds(model):
    noise = np.random.randint(-4, 5, 8).astype(np.float32) / np.float32(8)
    model["weight"] += np.bincount(mine % 8, minlength=8).astype(np.float32) / np.float32(16) + noise
    round.report(examples=len(mine), total=float(mine.sum()))
