"""The global random generators, seeded."""

import random
import subprocess
import sys

import numpy as np
import pytest

from hanse.learners.seeding import generators_kept, seed_generators


def draws() -> tuple[float, float]:
    return random.random(), np.random.random()


@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1])
def test_the_same_seed_gives_the_same_numbers(seed: int) -> None:
    seed_generators(seed)
    first = draws()
    seed_generators(seed)

    assert draws() == first


def test_another_seed_gives_other_numbers() -> None:
    seed_generators(1)
    first = draws()
    seed_generators(2)

    assert draws() != first


@pytest.mark.torch
def test_torch_is_seeded_also_when_it_is_imported_later() -> None:
    program = """
import sys
from hanse.learners.seeding import generators_kept, seed_generators
seed_generators(4)
seed_generators(9)
assert "torch" not in sys.modules
import torch
drawn = torch.rand(3)
seed_generators(9)
assert torch.equal(drawn, torch.rand(3))
"""

    subprocess.run([sys.executable, "-c", program], check=True)


def test_generators_are_put_back_as_they_were() -> None:
    random.seed(1)
    np.random.seed(1)
    expected = random.Random(1).random(), np.random.RandomState(1).random()

    with generators_kept():
        seed_generators(7)
        random.random()

    assert (random.random(), np.random.random()) == expected


@pytest.mark.torch
def test_the_generator_of_torch_is_put_back_as_it_was() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    expected = torch.rand(3, generator=torch.Generator().manual_seed(1)).tolist()

    with generators_kept():
        seed_generators(7)

    assert torch.rand(3).tolist() == expected
