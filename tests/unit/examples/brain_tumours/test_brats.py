"""The loader reads the layout of BraTS, and refuses in words what it cannot use."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from hanse.errors import ConfigError

pytestmark = pytest.mark.torch

AFFINE = np.diag([-7.5, -7.5, 7.5, 1.0])


def change(file: Path, *, values: Any = None, affine: Any = None) -> None:
    """Write a scan again with other numbers, or elsewhere in space."""
    scan = nibabel.load(file)
    values = np.asarray(scan.dataobj) if values is None else values
    nibabel.save(nibabel.Nifti1Image(values, scan.affine if affine is None else affine), file)


def values_of(file: Path) -> Any:
    return np.asarray(nibabel.load(file).dataobj).copy()


def as_of_2023(folder: Path) -> Path:
    """The same patient under the names and labels of BraTS 2023."""
    new = folder.with_name("BraTS-GLI-00000-000")
    new.mkdir()
    ends = {"t1": "t1n", "t1ce": "t1c", "t2": "t2w", "flair": "t2f", "seg": "seg"}
    for old, end in ends.items():
        shutil.move(folder / f"{folder.name}_{old}.nii.gz", new / f"{new.name}-{end}.nii.gz")
    folder.rmdir()
    labels = values_of(new / f"{new.name}-seg.nii.gz")
    change(new / f"{new.name}-seg.nii.gz", values=np.where(labels == 4, 3, labels).astype(np.uint8))
    return new


def test_a_patient_is_normalised_within_the_brain(
    case: SimpleNamespace, phantom: Path, layout: object
) -> None:
    patient = case.brats.read(phantom, layout)

    assert tuple(patient.image.shape) == (4, 16, 20, 16)
    inside = patient.image.float()[:, (patient.image != 0).any(dim=0)]
    assert inside.mean(dim=1).abs().max() < 0.05
    assert (inside.std(dim=1) - 1).abs().max() < 0.05


def test_regions_lie_within_each_other(case: SimpleNamespace, phantom: Path, layout: object) -> None:
    whole, core, enhancing = case.brats.read(phantom, layout).regions

    assert bool((whole | ~core).all())
    assert bool((core | ~enhancing).all())
    assert whole.sum() > core.sum() > 0


def test_names_and_labels_of_2023_give_the_same_patient(
    case: SimpleNamespace, phantom: Path, layout: object
) -> None:
    before = case.brats.read(phantom, layout)
    after = case.brats.read(as_of_2023(phantom), layout)

    assert bool((before.image == after.image).all())
    assert bool((before.regions == after.regions).all())


def test_files_that_are_not_compressed_are_read(case: SimpleNamespace, phantom: Path, layout: object) -> None:
    before = case.brats.read(phantom, layout)
    for file in list(phantom.iterdir()):
        file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
        file.unlink()

    assert bool((case.brats.read(phantom, layout).image == before.image).all())


def test_axes_in_another_order_give_the_same_patient(
    case: SimpleNamespace, phantom: Path, layout: object
) -> None:
    before = case.brats.read(phantom, layout)
    for file in phantom.iterdir():
        scan = nibabel.load(file)
        turned = ornt_transform(io_orientation(scan.affine), axcodes2ornt(("S", "L", "P")))
        nibabel.save(nibabel.Nifti1Image(values_of(file), scan.affine).as_reoriented(turned), file)

    assert bool((case.brats.read(phantom, layout).image == before.image).all())


def test_a_phantom_in_memory_is_the_one_that_is_read_from_its_files(
    case: SimpleNamespace, phantom: Path, layout: object
) -> None:
    read, made = case.brats.read(phantom, layout), case.study.patient(1, 1, 1)

    assert bool((read.image == made.image).all())
    assert bool((read.regions == made.regions).all())


def test_a_brain_larger_than_the_grid_is_shrunk(case: SimpleNamespace, phantom: Path) -> None:
    small = case.brats.Layout((24, 24, 20), 7.5, (8, 12, 8))

    patient = case.brats.read(phantom, small)

    assert tuple(patient.image.shape) == (4, 8, 12, 8)
    assert bool(patient.regions[0].any())


def spoil_nothing_there(folder: Path) -> None:
    shutil.rmtree(folder)


def spoil_modality_missing(folder: Path) -> None:
    (folder / f"{folder.name}_t1ce.nii.gz").unlink()


def spoil_group_of_patients(folder: Path) -> None:
    shutil.move(folder, folder.parent / "HGG" / folder.name)


def spoil_other_names(folder: Path) -> None:
    for number, file in enumerate(list(folder.iterdir())):
        file.rename(folder / f"series-{number}.nii.gz")


def spoil_twice(folder: Path) -> None:
    shutil.copy(folder / f"{folder.name}_t1.nii.gz", folder / f"{folder.name}_t1.nii")


def spoil_two_patients(folder: Path) -> None:
    shutil.copy(folder / f"{folder.name}_t2.nii.gz", folder / "other_t2.nii.gz")


def spoil_size(folder: Path) -> None:
    change(folder / f"{folder.name}_t2.nii.gz", values=np.ones((30, 24, 20), np.int16))


def spoil_dimensions(folder: Path) -> None:
    change(folder / f"{folder.name}_t2.nii.gz", values=np.ones((24, 24, 20, 4), np.int16))


def spoil_voxels(folder: Path) -> None:
    change(folder / f"{folder.name}_t1.nii.gz", affine=np.diag([-1.0, -1.0, 1.0, 1.0]))


def spoil_no_affine(folder: Path) -> None:
    scan = nibabel.load(folder / f"{folder.name}_flair.nii.gz")
    scan.set_sform(None, code=0)
    scan.set_qform(None, code=0)
    nibabel.save(scan, folder / f"{folder.name}_flair.nii.gz")


def spoil_position(folder: Path) -> None:
    moved = AFFINE.copy()
    moved[:3, 3] = 50
    change(folder / f"{folder.name}_seg.nii.gz", affine=moved)


def spoil_nan(folder: Path) -> None:
    values = values_of(folder / f"{folder.name}_t1.nii.gz").astype(np.float32)
    values[3, 4, 5] = np.nan
    change(folder / f"{folder.name}_t1.nii.gz", values=values)


def spoil_labels(folder: Path) -> None:
    labels = values_of(folder / f"{folder.name}_seg.nii.gz")
    change(folder / f"{folder.name}_seg.nii.gz", values=np.where(labels == 4, 3, labels).astype(np.uint8))


def spoil_interpolated(folder: Path) -> None:
    labels = values_of(folder / f"{folder.name}_seg.nii.gz").astype(np.float32)
    change(folder / f"{folder.name}_seg.nii.gz", values=labels / 2)


def spoil_cut_off(folder: Path) -> None:
    file = folder / f"{folder.name}_t2.nii.gz"
    file.write_bytes(file.read_bytes()[:2000])


def spoil_not_nifti(folder: Path) -> None:
    (folder / f"{folder.name}_t2.nii.gz").write_bytes(b"a page of HTML")


def spoil_skull(folder: Path) -> None:
    change(folder / f"{folder.name}_t1.nii.gz", values=np.full((24, 24, 20), 7, np.int16))


def spoil_constant(folder: Path) -> None:
    brain = values_of(folder / f"{folder.name}_t1.nii.gz") > 0
    change(folder / f"{folder.name}_t2.nii.gz", values=brain.astype(np.int16))


def spoil_empty(folder: Path) -> None:
    for end in ("t1", "t1ce", "t2", "flair"):
        change(folder / f"{folder.name}_{end}.nii.gz", values=np.zeros((24, 24, 20), np.int16))


def spoil_folder_named_as_a_scan(folder: Path) -> None:
    file = folder / f"{folder.name}_t2.nii.gz"
    file.unlink()
    file.with_suffix("").mkdir()


def spoil_pipe(folder: Path) -> None:
    file = folder / f"{folder.name}_t2.nii.gz"
    file.unlink()
    os.mkfifo(file)


def spoil_link(folder: Path) -> None:
    file = folder / f"{folder.name}_t2.nii.gz"
    file.unlink()
    file.symlink_to("gone.nii.gz")


def spoil_beside(folder: Path) -> None:
    shutil.copy(folder / f"{folder.name}_t2.nii.gz", folder.parent / "Phantom-01-002_t2.nii.gz")


def spoil_nothing_in_it(folder: Path) -> None:
    (folder / f"{folder.name}_t2.nii.gz").write_bytes(b"")


def spoil_last_bytes(folder: Path) -> None:
    file = folder / f"{folder.name}_t2.nii.gz"
    file.write_bytes(file.read_bytes()[:-4])


def spoil_longer(folder: Path) -> None:
    unpacked(folder, lambda data: data + b"more")


def spoil_shorter(folder: Path) -> None:
    unpacked(folder, lambda data: data[:-1])


def spoil_voxels_begin_late(folder: Path) -> None:
    unpacked(folder, lambda data: data[:108] + np.float32(1e9).tobytes() + data[112:])


def spoil_voxels_begin_in_the_header(folder: Path) -> None:
    unpacked(folder, lambda data: data[:108] + np.float32(0).tobytes() + data[112:])


def spoil_scaled_by_infinity(folder: Path) -> None:
    unpacked(folder, lambda data: data[:112] + np.float32(np.inf).tobytes() + data[116:])


def spoil_raised(folder: Path) -> None:
    unpacked(folder, lambda data: data[:112] + np.float32([1, 5]).tobytes() + data[120:])


def unpacked(folder: Path, changed: Callable[[bytes], bytes]) -> None:
    """Put the T2 there without compression, with other bytes."""
    file = folder / f"{folder.name}_t2.nii.gz"
    file.with_suffix("").write_bytes(changed(gzip.decompress(file.read_bytes())))
    file.unlink()


def spoil_turned(folder: Path) -> None:
    change(folder / f"{folder.name}_t1.nii.gz", affine=turned(45))


def spoil_two_affines(folder: Path) -> None:
    file = folder / f"{folder.name}_t1.nii.gz"
    scan = nibabel.load(file)
    scan.set_qform(AFFINE * [[-1], [1], [1], [1]], code=1)
    nibabel.save(scan, file)


def turned(degrees: float) -> Any:
    """The affine of a head that is turned to a side."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, -sin, 0, 0], [sin, cos, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ AFFINE


WORDS = {
    spoil_nothing_there: "holds no patient: there is no folder in it",
    spoil_modality_missing: "lacks Phantom-01-001_t1ce.nii.gz",
    spoil_group_of_patients: "Is it a group of patients, such as HGG",
    spoil_other_names: "holds no scan by its name",
    spoil_twice: "is there twice, as .nii and as .nii.gz",
    spoil_two_patients: "has several files that end in _t2",
    spoil_size: "_t2.nii.gz has 30 x 24 x 20 voxels, and the plan takes images of 24 x 24 x 20",
    spoil_dimensions: "has 24 x 24 x 20 x 4 voxels",
    spoil_voxels: "has voxels of 1 x 1 x 1 mm, and the plan takes 7.5 mm",
    spoil_no_affine: "_flair.nii.gz has no affine",
    spoil_position: "_seg.nii.gz lies elsewhere in space than Phantom-01-001_t1.nii.gz",
    spoil_nan: "_t1.nii.gz has 1 voxels that are NaN or infinite",
    spoil_labels: "has the labels 3; files named like it have 0, 1, 2, 4",
    spoil_interpolated: "has the labels 0.5; files named like it have 0, 1, 2, 4",
    spoil_cut_off: "_t2.nii.gz cannot be read as NIfTI, it is cut off or damaged",
    spoil_not_nifti: "_t2.nii.gz cannot be read as NIfTI",
    spoil_skull: "the skull and the air are there still",
    spoil_constant: "_t2.nii.gz has the same number in all of the brain",
    spoil_folder_named_as_a_scan: "_t2.nii is a folder, not a file",
    spoil_pipe: "_t2.nii.gz is a pipe or a device, not a file",
    spoil_link: "_t2.nii.gz cannot be read: No such file",
    spoil_beside: "Phantom-01-002_t2.nii.gz lies beside the folders of the patients",
    spoil_nothing_in_it: "_t2.nii.gz cannot be read as NIfTI, it is cut off or damaged (it is empty)",
    spoil_last_bytes: "_t2.nii.gz cannot be read as NIfTI, it is cut off or damaged",
    spoil_longer: "by its header it has 23392 bytes when unpacked, and it has more",
    spoil_shorter: "by its header it has 23392 bytes when unpacked, and it has 23391",
    spoil_voxels_begin_late: "its voxels would begin at byte 1000000000",
    spoil_voxels_begin_in_the_header: "its voxels would begin at byte 0",
    spoil_scaled_by_infinity: "its numbers would be scaled by infinity",
    spoil_raised: "_t2.nii has no voxel that is 0: the skull",
    spoil_turned: "_t1.nii.gz is turned by 45 degrees from left-right, back-front and foot-head",
    spoil_two_affines: "_t1.nii.gz has two affines, sform and qform, and they name other directions",
    spoil_empty: "is empty: all voxels of all modalities are 0",
}


@pytest.mark.parametrize("spoil", WORDS, ids=lambda spoil: spoil.__name__.removeprefix("spoil_"))
def test_what_cannot_be_used_is_refused_with_its_file_and_what_to_do(
    case: SimpleNamespace, phantom: Path, layout: object, spoil: Any
) -> None:
    spoil(phantom)

    with pytest.raises(ConfigError) as refused:
        case.brats.load(phantom.parent, layout)

    assert WORDS[spoil] in str(refused.value)
    assert refused.value.mend


def test_a_series_of_one_image_is_that_image(case: SimpleNamespace, phantom: Path, layout: object) -> None:
    before = case.brats.read(phantom, layout)
    file = phantom / f"{phantom.name}_t2.nii.gz"
    change(file, values=values_of(file)[..., np.newaxis])

    assert bool((case.brats.read(phantom, layout).image == before.image).all())


def test_files_of_nifti_2_are_read(case: SimpleNamespace, phantom: Path, layout: object) -> None:
    before = case.brats.read(phantom, layout)
    for file in phantom.iterdir():
        nibabel.save(nibabel.Nifti2Image(values_of(file), nibabel.load(file).affine), file)

    assert bool((case.brats.read(phantom, layout).image == before.image).all())


def test_extensions_of_a_header_are_passed_over(case: SimpleNamespace, phantom: Path, layout: object) -> None:
    before = case.brats.read(phantom, layout)
    for file in phantom.iterdir():
        scan = nibabel.load(file)
        scan.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"of a phantom"))
        nibabel.save(scan, file)

    assert bool((case.brats.read(phantom, layout).image == before.image).all())


def test_a_head_that_is_turned_a_little_is_read(case: SimpleNamespace, phantom: Path, layout: object) -> None:
    for file in phantom.iterdir():
        change(file, affine=turned(10))

    assert case.brats.read(phantom, layout).name == phantom.name


def test_a_single_patient_is_not_dealt_to_training_and_validation(
    case: SimpleNamespace, phantom: Path, layout: object
) -> None:
    patients = case.brats.load(phantom.parent, layout)

    with pytest.raises(ConfigError, match="training and validation need one each"):
        case.brats.split(patients, phantom.parent)


def test_a_patient_stays_in_training_when_others_are_added(
    case: SimpleNamespace, phantom: Path, layout: object
) -> None:
    one = case.brats.read(phantom, layout)
    patients = [case.brats.Patient(f"P{number}", one.image, one.regions) for number in range(50)]

    before, held_out = case.brats.split(patients[:45], phantom)
    after, _ = case.brats.split(patients, phantom)

    assert len(held_out) == 9
    moved = {patient.name for patient in before} - {patient.name for patient in after}
    assert len(moved) <= 1
