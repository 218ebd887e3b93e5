"""Sizes and durations as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from hanse.config.units import format_duration, format_size
from hanse.core.values.schema import Size, parse_duration, parse_size

SIZE: TypeAdapter[int] = TypeAdapter(Size)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0B", 0),
        ("512MB", 512_000_000),
        ("8 GB", 8_000_000_000),
        ("1GiB", 2**30),
        ("1.5KiB", 1536),
        ("100kB", 100_000),
        ("100KB", 100_000),
        ("0.1TB", 100_000_000_000),
    ],
)
def test_a_size_is_read_with_its_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "big", "8G", "8gb", "-1GB", "1e3MB", "9" * 5_000 + "GB", "8"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size; write for example 512MB, 8GB or 1GiB"):
        parse_size(text)


@pytest.mark.parametrize("size", [-1, 2**51, "9999999TB"])
def test_a_size_has_bounds(size: object) -> None:
    with pytest.raises(ValidationError):
        SIZE.validate_python(size)


@pytest.mark.parametrize(
    ("size", "text"), [(0, 0), (999, "999B"), (1000, "1kB"), (2**30, "1GiB"), (20 * 10**9, "20GB")]
)
def test_a_size_is_written_in_the_largest_unit_that_fits(size: int, text: object) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "250ms"), (90, "90s"), (1800, "30m"), (7 * 86400, "7d"), (1 / 3, 1 / 3)]
)
def test_a_duration_is_written_in_the_largest_unit_that_fits(seconds: float, text: object) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, 2**50))
def test_a_size_reads_back_as_it_was(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.floats(0, 366 * 86400) | st.integers(1, 10**7) | st.integers(1, 10**7).map(lambda ms: ms / 1000))
def test_a_duration_reads_back_as_it_was(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds
