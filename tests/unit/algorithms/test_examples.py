"""Examples of settings."""

from __future__ import annotations

import pytest
import yaml

from hanse.algorithms.examples import EXAMPLES, written
from hanse.algorithms.registry import ALGORITHMS


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_example_of_an_algorithm_has_all_that_it_cannot_do_without(name: str) -> None:
    algorithm = ALGORITHMS[name]

    keys = algorithm.keys(algorithm.settings.model_validate(EXAMPLES.get(name, {})))

    assert keys


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_written_as_a_plan_has_it(name: str) -> None:
    assert yaml.safe_load(written(name, EXAMPLES[name])) == {"name": name, **EXAMPLES[name]}
