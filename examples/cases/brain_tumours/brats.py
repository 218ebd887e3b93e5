"""Reads scans in the layout of BraTS: a folder a patient, four modalities and the segmentation as NIfTI."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from nibabel.affines import obliquity
from nibabel.arrayproxy import ArrayProxy
from nibabel.nifti2 import Nifti2Header
from nibabel.orientations import apply_orientation, io_orientation
from nibabel.spatialimages import HeaderDataError
from torch import Tensor
from torch.nn.functional import interpolate, pad

from hanse.errors import ConfigError

REGIONS = ("wt", "tc", "et")
"""Whole tumour, tumour core, enhancing tumour: the three that BraTS evaluates, each within the one before."""

_UNREADABLE = (OSError, EOFError, zlib.error, HeaderDataError, ValueError, OverflowError)
_MOST_BEFORE = 16 * 2**20  # bytes before the voxels: the header and its extensions
_MOST_TURNED = 15  # degrees between an axis of an image and the axis of the body that it counts as
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
    held = _held(folder)
    folders = [path for path in held if path.is_dir()]
    if not folders:
        raise ConfigError(f"{folder} holds no patient: there is no folder in it", mend=_LAYOUT)
    if beside := [path for path in held if path not in folders and path.name.endswith((".nii", ".nii.gz"))]:
        raise ConfigError(
            f"{beside[0]} lies beside the folders of the patients, and belongs to none of them",
            mend="Move each scan into the folder of its patient.",
        )
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
    filled = (volumes != 0).all(axis=(1, 2, 3))
    for number, file in enumerate(files):
        if not brain.any():
            raise ConfigError(f"{file} is empty: all voxels of all modalities are 0", mend="Export it again.")
        if filled[number] or (brain.all() and not filled.any()):
            where = "" if filled[number] else " in all modalities"
            raise ConfigError(
                f"{file} has no voxel that is 0{where}: the skull and the air are there still",
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
    for path in _held(folder):
        if not path.name.endswith((".nii", ".nii.gz")):
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
        folders = _folders(folder)
        holds = f"holds folders alone ({folders})" if folders else "holds no scan by its name"
        deeper = "Is it a group of patients, such as HGG? Name that folder. " if folders else ""
        raise ConfigError(f"{folder} {holds}", mend=deeper + _LAYOUT)
    ends = (*naming.modalities, naming.segmentation)
    if missing := [end for end in ends if end not in files]:
        raise ConfigError(
            f"{folder} lacks {', '.join(f'{folder.name}{end}.nii.gz' for end in missing)}",
            mend="Add what is missing, rename a file that has another name, or take the folder of this "
            "patient away.",
        )
    return naming, files


def _held(folder: Path) -> list[Path]:
    """What a folder holds, in the order of the names, without what is hidden."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise _unreadable(folder, error) from None


def _folders(folder: Path) -> str:
    names = [path.name for path in _held(folder) if path.is_dir()]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _volume(file: Path, layout: Layout) -> tuple[Any, Any]:
    """The numbers of a file along left-right, back-front and foot-head, and its affine as it is there.

    The header is judged first: a wrong file is not read into memory. Then all is read, to the checksum at
    the end of a .gz: readers that stop at the last voxel take a damaged file for whole.
    """
    if file.exists() and not file.is_file():
        kind = "a folder" if file.is_dir() else "a pipe or a device"
        raise ConfigError(f"{file} is {kind}, not a file", mend="Put the scan itself there, under this name.")
    try:
        header = _header(_begin(file, 540))
        affine = np.asarray(header.get_best_affine(), np.float64)
        measured, code = header.get_qform(coded=True)
    except _UNREADABLE as error:
        raise _unreadable(file, error) from None
    if header.get_data_dtype().kind not in "iuf":
        raise ConfigError(f"{file} holds colours or complex numbers", mend="Export one number a voxel.")
    _check_affine(file, affine, [int(header["sform_code"]), int(code)], measured)
    shape = tuple(header.get_data_shape())
    shape = shape[:3] if set(shape[3:]) == {1} else shape  # a series of one image
    _check_size(file, shape, np.linalg.norm(affine[:3, :3], axis=0), affine, layout)
    try:
        values = _values(file, header).reshape(shape)
    except _UNREADABLE as error:
        raise _unreadable(file, error) from None
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise ConfigError(
            f"{file} has {count} voxels that are NaN or infinite",
            mend="Export it again, or set what is outside of the brain to 0.",
        )
    return np.ascontiguousarray(apply_orientation(values, io_orientation(affine))), affine


def _begin(file: Path, length: int) -> bytes:
    """The first bytes of a file, unpacked; its checksum is checked where it ends before."""
    with gzip.open(file) if file.name.endswith(".gz") else file.open("rb") as stream:
        return stream.read(length)


def _header(begin: bytes) -> Any:
    for kind in (nibabel.Nifti1Header, Nifti2Header):
        if kind.may_contain_header(begin):
            return kind(begin[: kind.sizeof_hdr])
    raise ValueError("it has no header of NIfTI" if begin else "it is empty")


def _values(file: Path, header: Any) -> Any:
    """The numbers of a file that is exactly as long as its header says."""
    before, slope = header.get_data_offset(), float(header["scl_slope"])
    if not header.single_vox_offset <= before <= _MOST_BEFORE:
        raise ValueError(f"its voxels would begin at byte {before}")
    if math.isinf(slope):
        raise ValueError("its numbers would be scaled by infinity")
    length = before + math.prod(header.get_data_shape()) * header.get_data_dtype().itemsize
    data = _begin(file, length + 1)
    if len(data) != length:
        found = "more" if len(data) > length else len(data)
        raise ValueError(f"by its header it has {length} bytes when unpacked, and it has {found}")
    with np.errstate(over="ignore"):
        return np.asarray(ArrayProxy(io.BytesIO(data), header), np.float32)


def _check_affine(file: Path, affine: Any, codes: list[int], other: Any) -> None:
    """Refuse an affine by which it is not known which way is left; the other is the qform's."""
    if not any(codes):
        raise ConfigError(
            f"{file} has no affine: sform_code and qform_code are 0, so it is not known which way is left",
            mend="Export it again with its orientation; if you know the orientation, set it with "
            "`image.set_sform(affine, code=1)` of nibabel, and save.",
        )
    if not np.isfinite(affine).all() or not abs(np.linalg.det(affine[:3, :3])) > 1e-6:
        raise ConfigError(f"{file} has an affine that is no position in space", mend="Export it again.")
    if (turned := float(np.degrees(obliquity(affine).max()))) > _MOST_TURNED:
        raise ConfigError(
            f"{file} is turned by {turned:.0f} degrees from left-right, back-front and foot-head; at most "
            f"{_MOST_TURNED} are taken",
            mend="Register and resample all files of the patient to an atlas, as BraTS does.",
        )
    if all(codes) and not np.array_equal(io_orientation(other), io_orientation(affine)):
        raise ConfigError(
            f"{file} has two affines, sform and qform, and they name other directions",
            mend="Find out which is right, and set both to it with `set_sform` and `set_qform` of nibabel.",
        )


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
    if isinstance(error, OSError) and error.errno is not None:
        return ConfigError(
            f"{file} cannot be read: {error.strerror}",
            mend="Look at its permissions, at where it leads if it is a link, and at the disk.",
        )
    words = " ".join(str(error).split())[:200] or type(error).__name__
    return ConfigError(
        f"{file} cannot be read as NIfTI, it is cut off or damaged ({words})",
        mend="Copy it again from where it comes; `gzip -t FILE` says whether a .gz is whole.",
    )


def _by(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))
