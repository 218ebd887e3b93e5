"""Reads scans in the layout of BraTS: a folder a patient, four modalities and the segmentation as NIfTI."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import apply_orientation, io_orientation
from nibabel.spatialimages import HeaderDataError
from torch import Tensor
from torch.nn.functional import interpolate, pad

from hanse.errors import ConfigError

REGIONS = ("wt", "tc", "et")
"""Whole tumour, tumour core, enhancing tumour: the three that BraTS evaluates, each within the one before."""

_UNREADABLE = (OSError, EOFError, zlib.error, ImageFileError, HeaderDataError, ValueError)
_LAYOUT = (
    "Expected is a folder for each patient with ID_t1.nii.gz, ID_t1ce.nii.gz, ID_t2.nii.gz, ID_flair.nii.gz "
    "and ID_seg.nii.gz (BraTS 2018 to 2021), or ID-t1n.nii.gz, ID-t1c.nii.gz, ID-t2w.nii.gz, ID-t2f.nii.gz "
    "and ID-seg.nii.gz (BraTS 2023); .nii is read too."
)


@dataclass(frozen=True, slots=True)
class Naming:
    """How one edition of BraTS names its files and labels.

    Attributes:
        modalities: Ends of the files' names: T1, T1 with contrast, T2, FLAIR.
        segmentation: End of the name of the segmentation.
        necrotic: Label of the necrotic core, with tumour that does not enhance.
        oedema: Label of the oedema.
        enhancing: Label of the enhancing tumour.
    """

    modalities: tuple[str, str, str, str]
    segmentation: str
    necrotic: int = 1
    oedema: int = 2
    enhancing: int = 4


NAMINGS = (
    Naming(("_t1", "_t1ce", "_t2", "_flair"), "_seg"),
    Naming(("-t1n", "-t1c", "-t2w", "-t2f"), "-seg", enhancing=3),
)


@dataclass(frozen=True, slots=True)
class Layout:
    """What the plan says of every image.

    Attributes:
        image: Voxels of an image as it is in the file, along left-right, back-front, foot-head.
        voxel_mm: Length of the edge of a voxel in mm.
        grid: Voxels of what the network sees, along the same axes.
    """

    image: tuple[int, int, int]
    voxel_mm: float
    grid: tuple[int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Patient:
    """What the network sees of one patient.

    Attributes:
        name: Name of the folder.
        image: T1, T1 with contrast, T2 and FLAIR, shape (4, *grid), float16: each of mean 0 and standard
            deviation 1 within the brain, cut to [-5, 5], and 0 outside of it.
        regions: Whole tumour, tumour core, enhancing tumour, shape (3, *grid), bool.
    """

    name: str
    image: Tensor
    regions: Tensor


def load(folder: Path, layout: Layout) -> list[Patient]:
    """Read all patients of a folder, in the order of their names.

    Raises:
        ConfigError: The folder is not in the layout of BraTS, or a file cannot be used; it names the file,
            and what to do.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder", mend=_LAYOUT)
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise ConfigError(f"{folder} holds no patient: there is no folder in it", mend=_LAYOUT)
    return [read(path, layout) for path in folders]


def read(folder: Path, layout: Layout) -> Patient:
    """Read one patient.

    Raises:
        ConfigError: See `load`.
    """
    naming, files = _files(folder)
    first = files[naming.modalities[0]]
    affine: Any = None
    volumes = []
    for end in (*naming.modalities, naming.segmentation):
        values, its = _volume(files[end], layout)
        if affine is None:
            affine = its
        elif not np.allclose(its, affine, rtol=0, atol=0.01 * layout.voxel_mm):
            raise ConfigError(
                f"{files[end]} lies elsewhere in space than {first.name}: their affines differ",
                mend="Register and resample all files of a patient to one of them.",
            )
        volumes.append(values)
    regions = regions_of(volumes.pop(), naming, files[naming.segmentation])
    image = prepared(np.stack(volumes), [files[end] for end in naming.modalities])
    return fitted(folder.name, image, regions, layout.grid)


def prepared(volumes: Any, files: Iterable[object]) -> Tensor:
    """The modalities, each of mean 0 and standard deviation 1 within the brain, and 0 outside of it.

    Args:
        volumes: As in the files, shape (4, x, y, z), 0 outside the brain.
        files: Where each comes from, for what is said of a bad one.

    Raises:
        ConfigError: There is no brain, the skull is there still, or a modality is the same everywhere.
    """
    brain = (volumes != 0).any(axis=0)
    result = np.zeros(volumes.shape, np.float32)
    for number, file in enumerate(files):
        if not brain.any():
            raise ConfigError(f"{file} is empty: all voxels of all modalities are 0", mend="Export it again.")
        if brain.all():
            raise ConfigError(
                f"{file} has no voxel that is 0 in all modalities: the skull and the air are there still",
                mend="Remove the skull, as BraTS does: outside of the brain all is 0.",
            )
        inside = volumes[number][brain].astype(np.float64)
        if not inside.std() > 0:
            raise ConfigError(f"{file} has the same number in all of the brain", mend="Export it again.")
        result[number][brain] = np.clip((inside - inside.mean()) / inside.std(), -5, 5)
    return torch.from_numpy(result)


def fitted(name: str, image: Tensor, regions: Any, grid: tuple[int, int, int]) -> Patient:
    """Crop to the brain, shrink what is larger than the grid, and pad what is smaller.

    Args:
        name: Of the patient.
        image: Shape (4, x, y, z), 0 outside the brain.
        regions: Shape (3, x, y, z), bool.
        grid: Shape that comes out.
    """
    inside = (image != 0).any(dim=0).nonzero()
    least, most = inside.min(dim=0).values.tolist(), (inside.max(dim=0).values + 1).tolist()
    box = (slice(None), *(slice(a, b) for a, b in zip(least, most, strict=True)))
    both = torch.cat([image, torch.from_numpy(np.asarray(regions)).float()])[box]
    factor = min(1.0, *(goal / size for goal, size in zip(grid, both.shape[1:], strict=True)))
    if factor < 1:
        size = [min(goal, round(edge * factor)) for goal, edge in zip(grid, both.shape[1:], strict=True)]
        both = interpolate(both[None], size=size, mode="area")[0]
    room = [goal - edge for goal, edge in zip(grid, both.shape[1:], strict=True)]
    both = pad(both, [part for free in reversed(room) for part in (free // 2, free - free // 2)])
    return Patient(name, both[:4].half().contiguous(), (both[4:] >= 0.5).contiguous())


def split(patients: list[Patient], folder: Path) -> tuple[list[Patient], list[Patient]]:
    """Deal patients to training and validation: a fifth, rounded up, validates.

    By a hash of the name, so that a patient stays where he is when others are added.

    Raises:
        ConfigError: There are fewer than two.
    """
    if len(patients) < 2:
        raise ConfigError(
            f"{folder} holds one patient; training and validation need one each",
            mend="Add patients, or leave this site out.",
        )
    dealt = sorted(patients, key=lambda patient: hashlib.sha256(patient.name.encode()).digest())
    held_out = -(-len(dealt) // 5)
    return dealt[held_out:], dealt[:held_out]


def _files(folder: Path) -> tuple[Naming, dict[str, Path]]:
    """The naming that a patient's files follow, and the file by the end of its name."""
    by_stem: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.name.endswith((".nii", ".nii.gz")):
            continue
        stem = path.name.removesuffix(".gz").removesuffix(".nii")
        if stem in by_stem:
            raise ConfigError(f"{path} is there twice, as .nii and as .nii.gz", mend="Remove one of them.")
        by_stem[stem] = path
    found: list[tuple[Naming, dict[str, Path]]] = []
    for naming in NAMINGS:
        ends = (*naming.modalities, naming.segmentation)
        fits = {end: [path for stem, path in by_stem.items() if stem.lower().endswith(end)] for end in ends}
        for end, paths in fits.items():
            if len(paths) > 1:
                raise ConfigError(
                    f"{folder} has several files that end in {end}: {', '.join(p.name for p in paths)}",
                    mend="Give each patient a folder of its own.",
                )
        found.append((naming, {end: paths[0] for end, paths in fits.items() if paths}))
    naming, files = max(found, key=lambda pair: len(pair[1]))
    if not files:
        holds = f"holds folders alone ({_some(folder)})" if _folders(folder) else "holds no scan by its name"
        deeper = "Is it a group of patients, such as HGG? Name that folder. " if _folders(folder) else ""
        raise ConfigError(f"{folder} {holds}", mend=deeper + _LAYOUT)
    ends = (*naming.modalities, naming.segmentation)
    if missing := [end for end in ends if end not in files]:
        raise ConfigError(
            f"{folder} lacks {', '.join(f'{folder.name}{end}.nii.gz' for end in missing)}",
            mend="Add what is missing, rename a file that has another name, or take the folder of this "
            "patient away.",
        )
    return naming, files


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _some(folder: Path) -> str:
    names = _folders(folder)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _volume(file: Path, layout: Layout) -> tuple[Any, Any]:
    """The numbers of a file along left-right, back-front and foot-head, and its affine as it is there.

    The header is judged first: a wrong file is not read into memory.
    """
    try:
        scan = nibabel.load(file)
    except _UNREADABLE as error:
        raise _unreadable(file, error) from None
    header = scan.header
    if not isinstance(header, nibabel.Nifti1Header):  # NIfTI-2 is of that kind
        raise ConfigError(f"{file} is not a NIfTI file", mend="Convert it to .nii.gz.")
    if header.get_data_dtype().kind not in "iuf":
        raise ConfigError(f"{file} holds colours or complex numbers", mend="Export one number a voxel.")
    if int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0:
        raise ConfigError(
            f"{file} has no affine: sform_code and qform_code are 0, so it is not known which way is left",
            mend="Export it again with its orientation; if you know the orientation, set it with "
            "`image.set_sform(affine, code=1)` of nibabel, and save.",
        )
    affine = np.asarray(scan.affine, np.float64)
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or not abs(np.linalg.det(affine[:3, :3])) > 1e-6:
        raise ConfigError(f"{file} has an affine that is no position in space", mend="Export it again.")
    _check_size(file, scan.shape, edges, affine, layout)
    try:
        values = scan.get_fdata(dtype=np.float32, caching="unchanged")
    except _UNREADABLE as error:
        raise _unreadable(file, error) from None
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise ConfigError(
            f"{file} has {count} voxels that are NaN or infinite",
            mend="Export it again, or set what is outside of the brain to 0.",
        )
    return np.ascontiguousarray(apply_orientation(values, io_orientation(affine))), affine


def _check_size(file: Path, shape: tuple[int, ...], edges: Any, affine: Any, layout: Layout) -> None:
    turned = shape
    if len(shape) == 3:
        axes = io_orientation(affine)[:, 0]
        turned = tuple(shape[int(np.flatnonzero(axes == axis)[0])] for axis in range(3))
    if turned != layout.image:
        raise ConfigError(
            f"{file} has {_by(turned)} voxels, and the plan takes images of {_by(layout.image)} (`options: "
            "{image: ...}`)",
            mend="Resample all images to that size, as BraTS does, or agree on another plan.",
        )
    if not np.allclose(edges, layout.voxel_mm, rtol=0.01):
        raise ConfigError(
            f"{file} has voxels of {' x '.join(f'{edge:.3g}' for edge in edges)} mm, and the plan takes "
            f"{layout.voxel_mm:g} mm (`options: {{voxel_mm: ...}}`)",
            mend="Resample all images to that size, as BraTS does, or agree on another plan.",
        )


def regions_of(labels: Any, naming: Naming, file: object) -> Any:
    """Whole tumour, tumour core and enhancing tumour, shape (3, x, y, z), bool.

    Raises:
        ConfigError: There is a label that the naming does not have.
    """
    known = (0, naming.necrotic, naming.oedema, naming.enhancing)
    if others := sorted(set(np.unique(labels).tolist()) - set(known)):
        listed = ", ".join(f"{label:g}" for label in others[:5])
        raise ConfigError(
            f"{file} has the labels {listed}; files named like it have {', '.join(map(str, known))}",
            mend="Enhancing tumour is 4 in BraTS 2018 to 2021 (ID_seg.nii.gz), and 3 in BraTS 2023 "
            "(ID-seg.nii.gz): bring names and labels of one edition together. A label that is not whole was "
            "interpolated: resample segmentations by the nearest neighbour.",
        )
    enhancing = labels == naming.enhancing
    return np.stack([labels > 0, enhancing | (labels == naming.necrotic), enhancing])


def _unreadable(file: Path, error: Exception) -> ConfigError:
    words = " ".join(str(error).split())[:200] or type(error).__name__
    return ConfigError(
        f"{file} cannot be read as NIfTI, it is cut off or damaged ({words})",
        mend="Copy it again from where it comes; `gzip -t FILE` says whether a .gz is whole.",
    )


def _by(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))
