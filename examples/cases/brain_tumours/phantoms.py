"""Makes phantoms, not patients: volumes that look a little like scans of brain tumours, and no more.

A phantom is a brain of ellipsoids and noise with one tumour, in the four modalities and with the labels of
BraTS, as a scanner of its institution would show it. No number in it was measured at a person.

    python phantoms.py scans --institutions 71

writes `scans/institution-01/Phantom-01-001/Phantom-01-001_t1.nii.gz` and so on, about 30 kB a phantom.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Volume = NDArray[np.float32]
Random = np.random.Generator

SHAPE = (24, 24, 20)
"""Voxels of an image, of 7.5 mm."""
VOXEL_MM = 7.5
MODALITIES = ("t1", "t1ce", "t2", "flair")
NECROTIC, OEDEMA, ENHANCING = 1, 2, 4

INSTITUTIONS, PATIENTS = 71, 6_314
"""Of FeTS (Pati et al. 2022, Nature Communications 13:7346)."""
SCALE, TAIL, FEWEST = 10, 0.75, 3
"""A tenth of its patients; size falls with rank to the power of -0.75; no institution has fewer than 3."""

_TISSUES = ("fluid", "grey", "white", "necrotic", "oedema", "enhancing", "spot", "vessel")
_SIGNAL = {
    "t1": (0.25, 0.55, 0.80, 0.42, 0.58, 0.60, 0.70, 0.60),
    "t1ce": (0.25, 0.55, 0.80, 0.40, 0.58, 1.10, 0.70, 1.05),
    "t2": (1.00, 0.65, 0.45, 0.85, 0.78, 0.68, 0.70, 0.40),
    "flair": (0.20, 0.60, 0.50, 0.62, 0.85, 0.72, 0.82, 0.50),
}
"""Signal of each tissue in each modality, 1 about the brightest. `spot` (old lesions of the white matter)
and `vessel` are no tumour, and look like one in one modality."""


@dataclass(frozen=True, slots=True)
class Scanner:
    """How the scanner and the protocol of one institution show a brain.

    Attributes:
        signal: Signal by modality and tissue, shape (4, 8).
        gamma: Exponent of the signal, by modality.
        gain: Numbers of the file that a signal of 1 becomes, by modality.
        bias: Relative change of the gain from one end of the head to the other, by axis.
        noise: Standard deviation of the noise, in signal.
        blur: Standard deviation of the blur by axis, in voxels.
        thick: Whether two slices were one.
        enhancing: Share of the tumours here that enhance.
        size: Factor of the radius of tumours here: large where they come late.
    """

    signal: NDArray[np.float64]
    gamma: NDArray[np.float64]
    gain: NDArray[np.float64]
    bias: NDArray[np.float64]
    noise: float
    blur: tuple[float, float, float]
    thick: bool
    enhancing: float
    size: float


def sizes(institutions: int = INSTITUTIONS) -> list[int]:
    """Phantoms of each institution, in the order of their numbers, which is not that of size.

    The long tail is that of 71: a tenth of 6,314 patients, dealt by rank to the power of -0.75. Fewer
    institutions are ranks between 1 and 71 at equal distances, so that they have a tail as well.

    Raises:
        ValueError: No number of institutions that there could be.
    """
    if not 1 <= institutions <= 999:
        raise ValueError(f"institutions must be 1 to 999, got {institutions}")
    ranks = np.arange(1, INSTITUTIONS + 1, dtype=float)
    largest = PATIENTS / SCALE / np.sum(ranks**-TAIL)
    chosen = np.linspace(1, INSTITUTIONS, institutions) if institutions > 1 else np.ones(1)
    dealt = np.random.default_rng(0).permutation(chosen)
    return [max(FEWEST, round(float(largest * rank**-TAIL))) for rank in dealt]


def name(institution: int) -> str:
    """Name of an institution, by its number from 1."""
    return f"institution-{institution:02d}"


def scanner(seed: int, institution: int) -> Scanner:
    """The scanner of an institution, the same for the same seed."""
    random = np.random.default_rng([seed, 1, institution])
    signal = np.array([_SIGNAL[modality] for modality in MODALITIES])
    thick = bool(random.random() < 1 / 3)
    return Scanner(
        signal=signal + random.normal(0, 0.06, signal.shape),
        gamma=np.exp(random.normal(0, 0.2, 4)),
        gain=np.exp(random.uniform(np.log(150), np.log(2000), 4)),
        bias=random.uniform(-0.4, 0.4, 3),
        noise=float(random.uniform(0.03, 0.12)),
        blur=(float(random.uniform(0, 0.6)), float(random.uniform(0, 0.6)), float(random.uniform(0, 0.9))),
        thick=thick,
        enhancing=float(random.beta(8, 2)),
        size=float(np.exp(random.normal(0, 0.15))),
    )


def phantom(seed: int, institution: int, number: int, seen: Scanner | None = None) -> tuple[Volume, Volume]:
    """One phantom, the same for the same numbers.

    Args:
        seed: Of all institutions.
        institution: Counted from 1.
        number: Of the phantom at the institution, counted from 1.
        seen: The scanner; the institution's own unless given.

    Returns:
        The image, shape (4, 24, 24, 20) in the order of `MODALITIES`, 0 outside the brain; and the labels,
        shape (24, 24, 20), of 0, 1, 2 and 4.
    """
    seen = seen or scanner(seed, institution)
    random = np.random.default_rng([seed, 2, institution, number])
    depth = _depth(random)
    tissue, labels, clarity = _anatomy(random, depth, scanner(seed, institution))
    image = _scanned(random, seen, tissue, clarity, depth > 0)
    return image, labels


def _noise(random: Random, sigma: float) -> NDArray[np.float64]:
    """Smooth noise of mean 0 and standard deviation 1."""
    field = gaussian_filter(random.normal(size=SHAPE), sigma)
    return (field - field.mean()) / field.std()


def _distance(centre: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance from a centre in units of the axes of an ellipsoid: 1 at its surface."""
    grid = np.indices(SHAPE).astype(float)
    return np.sqrt(sum(((grid[i] - centre[i]) / axes[i]) ** 2 for i in range(3)))


def _depth(random: Random) -> NDArray[np.float64]:
    """How far inside the brain a voxel is: 1 in the middle, 0 at the surface, below 0 outside."""
    centre = np.array([11.5, 11.5, 9.5]) + random.uniform(-0.6, 0.6, 3)
    axes = np.array([7.6, 9.0, 7.2]) * random.uniform(0.94, 1.03, 3)
    return 1 - _distance(centre, axes) + 0.02 * _noise(random, 2)


def _anatomy(
    random: Random, depth: NDArray[np.float64], site: Scanner
) -> tuple[NDArray[np.int64], NDArray[np.uint8], float]:
    """Tissue of each voxel as a row of `_TISSUES`, the labels, and how clearly the tumour is seen, 0 to 1."""
    brain = depth > 0
    folds = 0.16 + 0.07 * _noise(random, 1)
    tissue = np.where(depth < folds, 1, 2)
    for side in (-1, 1):
        middle = np.array([11.5 + side * random.uniform(1.4, 2.0), 11.5 + random.normal(0, 0.5), 10.3])
        axes = np.array([0.9, 2.9, 1.2]) * random.uniform(0.7, 1.5)
        tissue[_distance(middle, axes) < 1] = 0
    deep = np.argwhere(depth > 0.12)
    for _ in range(random.poisson(2.0)):
        tissue[_distance(random.choice(deep).astype(float), random.uniform(0.7, 1.5, 3)) < 1] = 6
    for _ in range(random.poisson(2.0)):
        tissue[_distance(random.choice(deep).astype(float), random.uniform(0.6, 1.4, 3)) < 1] = 7
    labels = _tumour(random, depth, site)
    for label, row in ((NECROTIC, 3), (OEDEMA, 4), (ENHANCING, 5)):
        tissue[labels == label] = row
    labels[~brain] = 0
    return tissue, labels, float(random.uniform(0.45, 1.0))


def _tumour(random: Random, depth: NDArray[np.float64], site: Scanner) -> NDArray[np.uint8]:
    """Labels of one tumour: a core, its enhancing rim if it has one, and oedema around it."""
    centre = random.choice(np.argwhere(depth > 0.22)).astype(float)
    radius = float(np.clip(site.size * np.exp(random.normal(np.log(2.5), 0.3)), 1.5, 4.5))
    axes = radius * np.exp(random.normal(0, 0.15, 3))
    # In voxels from the surface of the core, negative inside.
    outside = (_distance(centre, axes) - 1 + 0.13 * _noise(random, 1.5)) * radius
    swelling = float(random.gamma(2.5, 0.6)) + 0.5
    spread = outside - 0.9 * _noise(random, 2.5)
    labels = np.zeros(SHAPE, np.uint8)
    inside = depth > 0.02
    labels[(spread < swelling) & inside] = OEDEMA
    core = (outside < 0) & inside
    labels[core] = NECROTIC
    if random.random() < site.enhancing:
        rim = float(random.uniform(0.9, 1.9))
        labels[core & (outside > -rim + 0.3 * _noise(random, 1))] = ENHANCING
    return labels


def _scanned(
    random: Random, seen: Scanner, tissue: NDArray[np.int64], clarity: float, brain: NDArray[np.bool_]
) -> Volume:
    """The four modalities of a brain, as a scanner shows it."""
    place = np.stack(np.meshgrid(*(np.linspace(-0.5, 0.5, size) for size in SHAPE), indexing="ij"))
    bias = 1 + np.tensordot(seen.bias * random.uniform(0.7, 1.3, 3), place, axes=1)
    image = np.zeros((4, *SHAPE))
    for modality in range(4):
        signal = seen.signal[modality].copy()
        signal[3:6] = clarity * signal[3:6] + (1 - clarity) * signal[2]
        shown = signal[tissue] * (1 + 0.05 * _noise(random, 1.5))
        shown = np.where(brain, np.clip(shown, 0.02, None) ** seen.gamma[modality], 0)
        shown = gaussian_filter(shown, seen.blur)
        if seen.thick:
            shown = shown.reshape(*SHAPE[:2], -1, 2).mean(-1).repeat(2, axis=-1)
        noise = random.normal(0, seen.noise, (2, *SHAPE))
        shown = np.hypot(shown * bias + noise[0], noise[1])
        image[modality] = np.where(brain, np.maximum(np.round(shown * seen.gain[modality]), 1), 0)
    return image.astype(np.float32)


def write_phantom(folder: Path, image: Volume, labels: NDArray[np.uint8]) -> None:
    """Write a phantom as a patient of BraTS 2018 to 2021: a folder with five NIfTI files."""
    folder.mkdir(parents=True)
    affine = np.diag([-VOXEL_MM, -VOXEL_MM, VOXEL_MM, 1.0])
    affine[1, 3] = VOXEL_MM * (SHAPE[1] - 1)
    for modality, values in zip(MODALITIES, image, strict=True):
        file = folder / f"{folder.name}_{modality}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(values.astype(np.int16), affine), file)
    nibabel.save(nibabel.Nifti1Image(labels, affine), folder / f"{folder.name}_seg.nii.gz")


def write_institution(folder: Path, seed: int, institution: int, count: int) -> None:
    """Write the phantoms of an institution."""
    seen = scanner(seed, institution)
    for number in range(1, count + 1):
        image, labels = phantom(seed, institution, number, seen)
        write_phantom(folder / f"Phantom-{institution:02d}-{number:03d}", image, labels)


def main() -> None:
    """Write the phantoms of all institutions."""
    options = argparse.ArgumentParser(description="Write phantoms, not patients, in the layout of BraTS.")
    options.add_argument("out", type=Path, help="a new folder")
    options.add_argument("--institutions", type=int, default=INSTITUTIONS)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--most", type=int, default=10**6, help="most phantoms of one institution")
    chosen = options.parse_args()
    if not 1 <= chosen.institutions <= 999 or chosen.most < FEWEST or chosen.seed < 0:
        raise SystemExit(f"--institutions is 1 to 999, --most at least {FEWEST}, and --seed at least 0.")
    counts = [min(count, chosen.most) for count in sizes(chosen.institutions)]
    try:
        if chosen.out.exists() and any(chosen.out.iterdir()):
            raise SystemExit(f"{chosen.out} is there already and not empty: name a new folder, or remove it.")
        for institution, count in enumerate(counts, start=1):
            write_institution(chosen.out / name(institution), chosen.seed, institution, count)
    except OSError as error:
        raise SystemExit(f"{chosen.out} cannot be written to: {error}. Name another folder.") from None
    except KeyboardInterrupt:
        raise SystemExit(f"Interrupted: {chosen.out} is not complete, remove it.") from None
    print(
        f"wrote {sum(counts)} phantoms of {len(counts)} institutions to {chosen.out}, "
        f"{max(counts)} at the largest and {min(counts)} at the smallest"
    )


if __name__ == "__main__":
    main()
