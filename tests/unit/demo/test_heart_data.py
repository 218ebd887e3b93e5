"""The hospitals' patients, as the demo's plan prepares them."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hanse.demo.files import HEART_DISEASE

HEADER = "age,sex,cp,trestbps,chol,fbs,restecg,thalach,exang,oldpeak,slope,ca,thal,num\n"


def write(folder: Path, *rows: str) -> Path:
    file = folder / "hospital.csv"
    file.write_text(HEADER + "\n".join(rows) + "\n")
    return file


@pytest.mark.parametrize(
    ("file", "patients", "ill", "train", "held_out"),
    [
        ("cleveland.csv", 303, 139, 199, 104),
        ("hungarian.csv", 261, 98, 172, 89),
        ("switzerland.csv", 46, 45, 30, 16),
        ("va.csv", 130, 101, 85, 45),
    ],
)
def test_each_hospital_has_the_patients_that_the_benchmark_counts(
    heart_data: ModuleType, file: str, patients: int, ill: int, train: int, held_out: int
) -> None:
    everyone = heart_data.read(HEART_DISEASE / file)
    parts = heart_data.load(HEART_DISEASE / file)

    assert everyone.x.shape == (patients, 13)
    assert everyone.y.sum() == ill
    assert [part.x.shape for part in parts] == [(train, 13), (held_out, 13)]


@pytest.mark.sklearn
@pytest.mark.parametrize("file", ["cleveland.csv", "hungarian.csv", "switzerland.csv", "va.csv"])
def test_the_split_is_the_benchmarks(heart_data: ModuleType, file: str) -> None:
    model_selection = pytest.importorskip("sklearn.model_selection")
    y = heart_data.read(HEART_DISEASE / file).y
    stratify = y if min(np.bincount(y.astype(int))) > 2 else None

    theirs = model_selection.train_test_split(
        np.arange(len(y)), test_size=1 - 0.66, train_size=0.66, random_state=43, stratify=stratify
    )

    for ours, part in zip(heart_data.split(y), theirs, strict=True):
        assert ours.tolist() == sorted(part)


def test_pain_and_electrocardiogram_become_one_input_a_level_but_the_first(
    heart_data: ModuleType, tmp_path: Path
) -> None:
    file = write(tmp_path, "63,1,1,145,233,1,2,150,0,2.3,3,0,6,0", "40,0,4,120,200,0,0,160,1,0,1,0,3,2")

    patients = heart_data.read(file)

    assert patients.x[:, :8].tolist() == [
        pytest.approx([63, 1, 145, 233, 1, 150, 0, 2.3]),
        pytest.approx([40, 0, 120, 200, 0, 160, 1, 0]),
    ]
    assert patients.x[:, 8:].tolist() == [[0, 0, 0, 0, 1], [0, 0, 1, 0, 0]]
    assert patients.y.tolist() == [0, 1]


def test_a_patient_is_left_out_for_a_missing_value_that_the_model_needs_only(
    heart_data: ModuleType, tmp_path: Path
) -> None:
    file = write(tmp_path, "63,1,1,145,,1,2,150,0,2.3,3,0,6,0", "40,0,4,120,200,0,0,160,1,0,,,,2")

    assert heart_data.read(file).x[:, 0].tolist() == [40]


def test_a_hospital_is_standardised_by_its_own_training_patients(heart_data: ModuleType) -> None:
    train, held_out = heart_data.load(HEART_DISEASE / "cleveland.csv")

    assert train.x.mean(axis=0) == pytest.approx(0, abs=1e-5)
    assert train.x.std(axis=0, ddof=1) == pytest.approx(1, abs=1e-5)
    assert abs(held_out.x.mean(axis=0)).max() > 1e-3


def test_a_value_that_all_training_patients_share_becomes_zero(heart_data: ModuleType) -> None:
    train, held_out = heart_data.load(HEART_DISEASE / "switzerland.csv")  # nobody's cholesterol was measured

    assert not train.x[:, 3].any()
    assert np.isfinite(held_out.x).all()


def test_a_folder_gives_every_hospital_prepared_by_itself(heart_data: ModuleType) -> None:
    one, _ = heart_data.load(HEART_DISEASE / "cleveland.csv")
    train, held_out = heart_data.load(HEART_DISEASE)

    assert (len(train.y), len(held_out.y)) == (486, 254)
    assert np.array_equal(train.x[: len(one.y)], one.x)


def test_auc_is_the_chance_to_rank_an_ill_patient_above_a_healthy_one(heart_data: ModuleType) -> None:
    y = np.array([1, 1, 0, 0], np.float32)

    assert heart_data.auc(np.array([4, 3, 2, 1], np.float32), y) == 1
    assert heart_data.auc(np.array([4, 1, 2, 1], np.float32), y) == pytest.approx(2.5 / 4)
    assert heart_data.auc(np.zeros(4, np.float32), y) == 0.5


def test_accuracy_counts_the_patients_on_the_right_side_of_zero(heart_data: ModuleType) -> None:
    scores = np.array([2, -1, 1, -3], np.float32)

    assert heart_data.accuracy(scores, np.array([1, 1, 0, 0], np.float32)) == 0.5
