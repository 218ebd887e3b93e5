"""Deals scikit-learn's images of digits out to four sites: `python make_sites.py FOLDER`."""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

PARTS = {"aachen": 0.4, "bonn": 0.3, "celle": 0.2, "dresden": 0.1}  # of the 1,797 images


def main(folder: Path) -> None:
    """Write FOLDER/SITE/digits.npz for each site; every fourth image of a site is held out."""
    if folder.exists():
        raise SystemExit(f"{folder} exists already; name a folder that does not")
    images, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(1).permutation(len(digits))
    order = np.concatenate([order[digits[order] < 5], order[digits[order] >= 5]])  # unlike at each site
    ends = np.round(np.cumsum(list(PARTS.values())) * len(order)).astype(int)
    for site, rows in zip(PARTS, np.split(order, ends[:-1]), strict=True):
        held_out = np.arange(len(rows)) % 4 == 0
        (folder / site).mkdir(parents=True)
        np.savez(
            folder / site / "digits.npz",
            x_train=(images[rows[~held_out]] / 16).astype(np.float32),
            y_train=digits[rows[~held_out]],
            x_test=(images[rows[held_out]] / 16).astype(np.float32),
            y_test=digits[rows[held_out]],
        )
        print(f"{site}: {np.sum(~held_out)} images to train on, {np.sum(held_out)} held out")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python make_sites.py FOLDER")
    main(Path(sys.argv[1]))
