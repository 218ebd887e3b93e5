"""Packages that a plan requires, held against packaging, which pip uses."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from tests.unit.core.plan.plans import plan

from hanse.core.plan.requirements import package_of, satisfies

NUMBERS = st.lists(st.integers(0, 3), min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts)))
STAGES = st.sampled_from(["", "a1", ".dev3", "rc2", ".post1", "b1.dev2", ".post1.dev2", "+cu121", "-1"])
BOUNDS = st.builds("{}{}".format, st.sampled_from(["==", "!=", ">=", "<=", ">", "<"]), NUMBERS)
COMPATIBLE = st.builds("~={}.{}".format, NUMBERS, st.integers(0, 3))


@given(
    version=st.builds("{}{}{}".format, st.sampled_from(["", "1!"]), NUMBERS, STAGES),
    bounds=st.lists(BOUNDS | COMPATIBLE, max_size=3),
)
@example(version="2.10.0", bounds=[">=2.4", "<3"])
@example(version="2.4.0a0+git1234", bounds=[">=2.4"])
@example(version="1.0", bounds=["~=1.0.0"])
def test_versions_are_permitted_as_pip_permits_them(version: str, bounds: list[str]) -> None:
    requirement = ",".join(bounds)

    assert satisfies(version, f"torch{requirement}") == SpecifierSet(requirement).contains(
        version, prereleases=True
    )


@pytest.mark.parametrize("version", ["", "unknown", "2.x", "2.4 or so"])
def test_a_version_that_nobody_can_read_is_not_permitted(version: str) -> None:
    assert not satisfies(version, "torch>=2.4")
    assert not satisfies(version, "torch")


@pytest.mark.parametrize(
    "written",
    [
        *("", ">=2.4", "torch=>2.4", "torch 2.4", "torch>=2.4,", "torch==2.*", "torch>=2.4rc1", "torch~=2"),
        *("torch[cuda]>=2", "torch @ https://example.org/torch.whl", "torch>=2; python_version < '3'"),
        "-r file.txt",
    ],
)
def test_what_is_not_a_package_with_its_versions_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"torch>=2\.4|two numbers"):
        plan(requires=[written])


def test_a_package_that_is_listed_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"write its bounds as one: .torch>=2\.4,<3."):
        plan(requires=["torch>=2.4", "Torch<3"])


def test_spaces_are_no_part_of_a_requirement() -> None:
    assert plan(requires=["torch >= 2.4, < 3"]).requires == ("torch>=2.4,<3",)
    assert package_of("scikit-learn>=1.8") == "scikit-learn"
