import json
import struct
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.deltas import difference

from hanse.core.values.digests import ALGORITHMS, Algorithm, digest_of_bytes
from hanse.core.values.parameters import Array, Parameters, TensorSpec, lazy_difference, specs
from hanse.errors import StorageError, UpdateError
from hanse.wire import tensor_headers, tensors
from hanse.wire.tensors import (
    copy_hashed,
    decode,
    encode,
    open_file,
    read_specs,
    tensors_size,
    write_file,
    write_hashed,
)

BUILT_IN = ["bool", "u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "u8", "i8", "f8"]
SPECIAL = [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2]
DTYPES: list[np.dtype[Any]] = [np.dtype(dtype) for dtype in (*BUILT_IN, *SPECIAL)]

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda name: name != "__metadata__"
)
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    """Any bits of any dtype."""
    dtype, shape = draw(st.sampled_from(DTYPES)), draw(shapes)
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), dtype=np.uint8)
    array: Array = (raw & 1 if dtype == np.bool_ else raw).view(dtype).reshape(shape)
    return array


parameters = st.dictionaries(names, arrays(), max_size=5)
MODEL: Parameters = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "count": np.array(7, dtype=np.int64),
    "mask": np.array([True, False, True]),
}


def assert_same(found: Parameters, expected: Parameters) -> None:
    """Same names, shapes, dtypes and bits."""
    assert specs(found) == specs(expected)
    assert [array.tobytes() for _, array in sorted(found.items())] == [
        array.tobytes() for _, array in sorted(expected.items())
    ]


def file_of(header: object, data: bytes = b"") -> bytes:
    """A file with this header, whatever it says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: Any = "U8", shape: Any = (1,), offsets: Any = (0, 1)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@given(parameters)
def test_every_bit_comes_back(model: Parameters) -> None:
    assert_same(decode(encode(model)), model)


@given(parameters)
def test_the_bytes_are_those_of_the_reference_implementation(model: dict[str, Array]) -> None:
    assert encode(model) == safetensors.numpy.save(model)


@given(parameters)
def test_the_order_of_the_tensors_makes_no_difference(model: Parameters) -> None:
    assert encode(dict(reversed(list(model.items())))) == encode(model)


@given(parameters)
def test_the_size_is_known_from_the_shapes(model: Parameters) -> None:
    assert tensors_size(specs(model)) == len(encode(model))


@given(parameters)
def test_tensors_are_laid_out_aligned(model: Parameters) -> None:
    assert all(array.flags.aligned for array in decode(b"".join([encode(model)])).values())


def test_a_file_of_the_reference_implementation_is_read(tmp_path: Path) -> None:
    model = {dtype.name: np.arange(2).astype(dtype) for dtype in DTYPES}
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file(model, path, metadata={"format": "pt"})

    assert_same(open_file(path), model)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_file_says_its_digest_and_size(tmp_path: Path, algorithm: Algorithm) -> None:
    path = tmp_path / "model.safetensors"

    digest, size = write_hashed(path, MODEL, algorithm)

    content = path.read_bytes()
    assert content == encode(MODEL)
    assert (digest, size) == (digest_of_bytes(content, algorithm), len(content))


def test_a_file_whose_digest_is_refused_is_not_put_in_place(tmp_path: Path) -> None:
    def refuse(digest: str) -> None:
        raise UpdateError(f"{digest} is not it")

    with pytest.raises(UpdateError, match=digest_of_bytes(encode(MODEL), "blake3")):
        write_hashed(tmp_path / "model.safetensors", MODEL, "blake3", check=refuse)

    assert list(tmp_path.iterdir()) == []


@given(parameters, st.sampled_from(ALGORITHMS))
def test_a_copy_is_what_the_file_would_hold(model: Parameters, algorithm: Algorithm) -> None:
    copy, digest = copy_hashed(model, algorithm)

    assert_same(copy, model)
    assert list(copy) == list(decode(encode(model)))
    assert digest == digest_of_bytes(encode(model), algorithm)


def test_a_copy_has_nothing_to_do_with_what_it_is_of() -> None:
    original = np.arange(3, dtype=np.float32)

    copy, _ = copy_hashed({"w": original}, "blake3")
    original += 1

    assert copy["w"].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="WRITEABLE"):
        copy["w"].flags.writeable = True


def test_a_copy_of_what_is_computed_where_it_is_read_needs_memory_for_itself_alone() -> None:
    size = 8_000_000
    trained, received = ({"w": np.full(size // 4, value, np.float32)} for value in (3, 1))
    update = lazy_difference(trained, received)

    tracemalloc.start()
    copy, _ = copy_hashed(update, "blake3")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert copy["w"].sum() == size // 4 * 2
    assert peak < size + 8 * tensors._BLOCK_BYTES * (tensors._AHEAD + 2)


def test_a_tensor_of_many_blocks_is_written_whole(tmp_path: Path) -> None:
    model = {"large": np.arange(3 * tensors._BLOCK_BYTES // 4 + 1, dtype=np.float32)}
    path = tmp_path / "model.safetensors"

    write_file(path, model)

    assert_same(open_file(path), model)


@pytest.mark.parametrize("before", [0, 10, 100_000])
def test_a_spare_file_is_overwritten_and_becomes_the_new_one(tmp_path: Path, before: int) -> None:
    spare, path = tmp_path / "spare", tmp_path / "model"
    spare.write_bytes(b"x" * before)
    inode = spare.stat().st_ino

    size = write_file(path, MODEL, over=spare)

    assert path.read_bytes() == encode(MODEL)
    assert (size, inode) == (path.stat().st_size, path.stat().st_ino)
    assert not spare.exists()


def test_what_is_computed_as_it_is_read_is_written_as_its_array(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    trained, received = ({"w": generator.normal(size=(700, 1000)).astype(np.float32)} for _ in range(2))

    write_file(tmp_path / "delta", lazy_difference(trained, received))

    assert (tmp_path / "delta").read_bytes() == encode(difference(trained, received))


def test_a_file_is_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_file(path, MODEL)

    assert_same(open_file(path), MODEL)
    assert list(open_file(path)) == sorted(MODEL)
    assert read_specs(path) == specs(MODEL)


def test_no_tensors_are_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"

    write_file(path, {})

    assert open_file(path) == {}


def test_a_model_can_replace_the_file_it_is_mapped_from(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_file(path, MODEL)

    write_file(path, open_file(path))

    assert_same(open_file(path), MODEL)


@pytest.mark.parametrize(
    "read", [lambda path: open_file(path), lambda path: decode(path.read_bytes())], ids=["map", "bytes"]
)
def test_what_was_read_cannot_be_written_to(tmp_path: Path, read: Callable[[Path], Parameters]) -> None:
    path = tmp_path / "model.safetensors"
    write_file(path, MODEL)

    for array in read(path).values():
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">f4"),
        np.arange(6, dtype=">i8").reshape(2, 3).T,
        np.arange(24, dtype=np.float32).reshape(2, 3, 4)[:, ::-1, ::2],
        np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
        np.arange(6).astype(ml_dtypes.bfloat16)[::2],
        np.broadcast_to(np.float64(3), (2, 2)),
        np.array(5, dtype=">u2"),
    ],
)
def test_any_layout_in_memory_is_written_right(array: Array) -> None:
    found = decode(encode({"x": array}))["x"]

    assert found.shape == array.shape
    assert found.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_tensor_at_an_odd_place_is_readable(dtype: np.dtype[Any], tmp_path: Path) -> None:
    values = np.array([0, 1, 1]).astype(dtype)
    code = safetensors.numpy.save({"x": values}).split(b'"dtype":"')[1].split(b'"')[0].decode()
    header = {"a": entry(), "x": entry(code, [3], [1, 1 + values.nbytes])}
    path = tmp_path / "model.safetensors"
    path.write_bytes(file_of(header, b"\x07" + values.tobytes()))

    found = open_file(path)["x"]
    assert_same({"x": found}, {"x": values})
    np.testing.assert_array_equal(found + found, values + values)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (b"", "no valid JSON"),
        (b"{", "no valid JSON"),
        (b"\xff\xfe{\x00}\x00", "no valid JSON"),
        (b"[" * 100_000, "no valid JSON"),
        (b'{"a":' + b"1" * 5000 + b"}", "no valid JSON"),
        (b'{"a":%b,"a":%b}' % ((json.dumps(entry()).encode(),) * 2), "a name occurs twice"),
        (b'{"a":[[[]]]}', "no valid JSON at byte 5"),
        (b'{"__metadata__":{"a":"' + b"b" * 2**20 + b'"}}', "more than 1048576 bytes of metadata"),
        (b'{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', "a name occurs twice"),
        ([], "does not list tensors"),
        ({"__metadata__": {"a": 1}}, "does not list tensors"),
        ({"a": 1}, "'a' is not described by"),
        ({"a": {"dtype": "U8", "shape": [1]}}, "'a' is not described by"),
        ({"a": {**entry(), "more": 1}}, "'a' is not described by"),
        ({"a": entry(dtype=["U8"])}, "'a' is not described by"),
        ({"a": entry(shape="1")}, "'a' is not described by"),
        ({"a": entry(offsets=[1])}, "'a' is not described by"),
        ({"a": entry(dtype="C64")}, "'a' has dtype 'C64'; known are BOOL"),
        ({"a": entry(shape=[1.0])}, "'a' has a shape or an offset that cannot be"),
        ({"a": entry(shape=[True])}, "'a' has a shape or an offset that cannot be"),
        ({"a": entry(shape=[-1])}, "'a' has a shape or an offset that cannot be"),
        ({"a": entry(shape=[2**63, 0])}, "'a' has a shape or an offset that cannot be"),
        ({"a": entry(shape=[1] * 33)}, "'a' has a shape or an offset that cannot be"),
        ({"a": entry(offsets=[0, "1"])}, "'a' has a shape or an offset that cannot be"),
        ({"a": entry(shape=[2**62, 4])}, "'a' is too large"),
        ({"a": entry(shape=[0, 2**62, 4], offsets=[0, 0])}, "'a' is too large"),
        ({"a": entry(shape=[2])}, "'a' has 1 bytes, which is not what its shape"),
        ({"a": entry(dtype="F32")}, "'a' has 1 bytes, which is not what its shape"),
        ({"a": entry(shape=[0], offsets=[1, 0])}, "'a' has -1 bytes"),
        ({"a": entry(), "b": entry()}, "'b' begins at byte 0 of the data, not at 1"),
        ({"a": entry(offsets=[1, 2])}, "'a' begins at byte 1 of the data, not at 0"),
        ({"a": entry(), "b": entry(offsets=[1, 2])}, "truncated or too long: 1 bytes of data where 2"),
        ({}, "truncated or too long: 1 bytes of data where 0"),
        ({"a": entry(dtype="BOOL")}, "'a' is boolean and holds other values"),
        ({"": entry()}, "'' has a name of 0 characters"),
        ({"a" * 513: entry()}, "has a name of 513 characters"),
        ({"\ud800": entry()}, "has a name that a safetensors file cannot hold"),
    ],
)
def test_a_wrong_header_is_refused_by_name(tmp_path: Path, header: object, problem: str) -> None:
    content = file_of(header, b"\x02")
    path = tmp_path / "update.safetensors"
    path.write_bytes(content)

    with pytest.raises(UpdateError, match=problem):
        decode(content)
    with pytest.raises(UpdateError, match=rf"update\.safetensors: .*{problem}"):
        open_file(path)


def test_a_truncated_file_is_refused_wherever_it_was_cut() -> None:
    content = encode(MODEL)

    for size in range(len(content)):
        with pytest.raises(UpdateError, match=r"truncated|too few"):
            decode(content[:size])


def test_a_header_is_not_read_beyond_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_headers, "MAX_HEADER_BYTES", 8)

    with pytest.raises(UpdateError, match="a header of 16 bytes"):
        decode(file_of(b"{}              "))
    with pytest.raises(UpdateError, match="names are too long"):
        encode(MODEL)


def test_too_many_tensors_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encode(MODEL)
    monkeypatch.setattr(tensor_headers, "MAX_TENSORS", 2)

    with pytest.raises(UpdateError, match="more than 2 tensors"):
        decode(content)
    with pytest.raises(UpdateError, match="3 tensors are too many: at most 2"):
        encode(MODEL)


@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(data: bytes) -> None:
    read_within_bounds(data)
    read_within_bounds(file_of(data))


@given(parameters, st.data())
def test_a_file_with_changed_bytes_is_read_or_refused(model: Parameters, data: st.DataObject) -> None:
    content = bytearray(encode(model))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))

    read_within_bounds(bytes(content))


@given(st.data())
def test_a_header_with_strange_values_is_read_or_refused(data: st.DataObject) -> None:
    sizes = st.one_of(st.integers(-1, 9), st.sampled_from([2**31, 2**62, 2**63, 2**64, None, 1.5, True]))
    fields = st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["BOOL", "U8", "F16", "BF16", "I64", "", 5]),
            "shape": st.lists(sizes, max_size=4),
            "data_offsets": st.lists(sizes, min_size=1, max_size=3),
        }
    )
    header = data.draw(st.dictionaries(st.text("ab", max_size=2), fields, max_size=3))

    read_within_bounds(file_of(header, data.draw(st.binary(max_size=16))))


def read_within_bounds(data: bytes) -> None:
    """Read a stranger's bytes: they are refused, or what comes of them is no larger than they are."""
    tracemalloc.start()
    try:
        found = decode(data)
    except UpdateError:
        found = {}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert sum(array.nbytes for array in found.values()) <= len(data)
    assert peak < 200_000  # what the parser needs for the header, never what the header claims


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ({"a": np.zeros(1, dtype=np.complex64)}, "'a' cannot be sent: it has dtype complex64"),
        ({"a": np.array(["text"])}, "'a' cannot be sent: it has dtype str"),
        ({"a": np.array([object()])}, "'a' cannot be sent: it has dtype object"),
        ({"a": np.zeros([1] * 33)}, "'a' cannot be sent: it has 33 dimensions"),
        ({"": np.zeros(1)}, "'' cannot be sent: it has a name of 0 characters"),
        ({"__metadata__": np.zeros(1)}, "cannot be sent: it has a name that a safetensors file cannot hold"),
        ({"\ud800": np.zeros(1)}, "cannot be sent: it has a name that a safetensors file cannot hold"),
    ],
)
def test_what_cannot_be_written_is_named(model: Parameters, problem: str) -> None:
    with pytest.raises(UpdateError, match=problem):
        encode(model)


def test_a_full_disk_leaves_no_half_of_a_file(
    tmp_path: Path, largest_file: Callable[[int], AbstractContextManager[None]]
) -> None:
    path = tmp_path / "model.safetensors"
    write_file(path, MODEL)

    with largest_file(100), pytest.raises(StorageError, match=r"cannot write .*model\.safetensors.*ulimit"):
        write_file(path, {"large": np.zeros(1000)})

    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    assert_same(open_file(path), MODEL)


@pytest.mark.parametrize("read", [open_file, read_specs])
def test_a_missing_file_is_named(tmp_path: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(StorageError, match=r"cannot read .*nowhere"):
        read(tmp_path / "nowhere")


def test_specs_give_the_size_of_a_model_that_was_never_there() -> None:
    assert tensors_size({"w": TensorSpec((1000, 1000), "bfloat16")}) == 8 + 72 + 2_000_000
