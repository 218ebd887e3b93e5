"""Whole updates: what is encoded, what travels as it is, and what is refused where it arrives."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.thorough import examples
from tests.unit.compression.chains import LOSSY, compression, normal

from hanse.compression.update import UpdateCodec, update_seed
from hanse.core.plan.transforms import SEGMENT
from hanse.core.values.parameters import Array, Parameters, specs
from hanse.errors import DisclosureError, UpdateError
from hanse.wire.tensors import decode, encode, tensors_size

SEED = 11


def codec(*upload: Any, smallest: int = 1) -> UpdateCodec:
    return UpdateCodec(compression(*upload, smallest=smallest))


def model() -> dict[str, Array]:
    """Every dtype and odd shape that a model can have."""
    rng = np.random.default_rng(3)
    return {
        "weight": normal(5000).reshape(50, 100),
        "long": normal(SEGMENT + 300),
        "double": rng.standard_normal((20, 30)),
        "half": normal(300).astype(np.float16),
        "brain": normal(300).astype(ml_dtypes.bfloat16),
        "steps": rng.integers(-5, 5, (17, 3)),
        "unsigned": rng.integers(0, 5, 40, np.uint8),
        "mask": rng.random(33) > 0.5,
        "scalar": np.array(0.25, np.float32),
        "count": np.array(7),
        "empty": np.zeros((0, 4), np.float32),
        "strided": normal(600).reshape(20, 30)[:, ::2],
    }


def travelled(codec: UpdateCodec, update: Parameters) -> Parameters:
    """The encoded update, through the file that it travels in."""
    return decode(encode({each.name: each.data for each in codec.encode(update, SEED)}))


@pytest.mark.parametrize("name", [*LOSSY, "zstd"])
def test_every_kind_of_tensor_travels(name: str) -> None:
    update, expected = model(), specs(model())
    coded = codec(*LOSSY.get(name, ["zstd"]))

    encoded = travelled(coded, update)
    coded.check(encoded, expected, SEED, "task train at a")
    found = {key: np.asarray(tensor) for key, tensor in coded.decode(encoded, expected, SEED).items()}

    assert specs(found) == expected
    for key in ("steps", "unsigned", "mask", "count", "empty"):
        assert found[key].tobytes() == update[key].tobytes()
    if name == "zstd":
        assert all(found[key].tobytes() == update[key].tobytes() for key in update)


def test_small_tensors_travel_as_they_are() -> None:
    update = {"bias": normal(255), "weight": normal(256)}

    encoded = travelled(codec("int8", smallest=256), update)

    assert encoded["bias"].tobytes() == update["bias"].tobytes()
    assert encoded["weight"].nbytes == 4 + 256


def test_bfloat16_is_bfloat16_on_the_wire() -> None:
    encoded = travelled(codec("bf16"), {"w": normal(600).reshape(20, 30)})

    assert encoded["w"].dtype == ml_dtypes.bfloat16
    assert encoded["w"].shape == (20, 30)


@pytest.mark.parametrize("name", LOSSY)
def test_a_file_is_never_longer_than_the_update_by_more_than_a_few_bytes_a_tensor(name: str) -> None:
    update = {f"layer{i}": normal(size, seed=i) for i, size in enumerate([1, 2, 16, 255, 1025, 5000])}
    encoded = travelled(codec(*LOSSY[name]), update)

    assert tensors_size(specs(encoded)) <= tensors_size(specs(update)) + 32 * len(update)


def test_a_range_of_a_tensor_is_decoded_by_itself() -> None:
    update = {"w": normal(3 * SEGMENT + 5)}
    coded = codec("int8")
    lazy: Any = coded.decode(travelled(coded, update), specs(update), SEED)["w"]

    whole = np.asarray(lazy)

    assert lazy.shape == (3 * SEGMENT + 5,)
    assert lazy.flat_range(SEGMENT, 2 * SEGMENT).tobytes() == whole[SEGMENT : 2 * SEGMENT].tobytes()
    assert lazy.flat_range(SEGMENT - 3, 3 * SEGMENT + 4).tobytes() == whole[SEGMENT - 3 : -1].tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_not_encoded(bad: float) -> None:
    update = {"w": np.array([1, bad], np.float32)}

    with pytest.raises(UpdateError, match="'w' cannot be compressed: it has a NaN"):
        list(codec("int8").encode(update, SEED))


def test_another_site_or_exchange_has_another_seed() -> None:
    seeds = {update_seed(0, site, exchange) for site in ("a", "b") for exchange in (1, 2)}

    assert len(seeds) == 4
    assert update_seed(0, "a", 1) in seeds


# Error feedback


def test_what_is_left_out_is_sent_later() -> None:
    update = {"w": normal(1000)}
    coded = codec({"name": "top_k", "fraction": 0.1})
    memory: Parameters = {}
    total = np.zeros(1000, np.float32)

    for exchange in range(60):
        (sent,) = coded.encode(update, exchange, memory)
        assert sent.left_out is not None
        memory = {"w": sent.left_out}
        total += np.asarray(coded.decode({"w": sent.data}, specs(update), exchange)["w"])

    # All that was to be sent is sent or still remembered, and what is remembered does not grow.
    assert np.allclose(total + memory["w"], 60 * update["w"], atol=1e-4)
    assert np.linalg.norm(memory["w"]) < 10 / 0.1 * np.linalg.norm(update["w"]) / 5


def test_without_error_feedback_nothing_is_remembered() -> None:
    update = {"w": normal(1000)}

    for upload in ("int8", {"name": "top_k", "error_feedback": False}):
        assert [each.left_out for each in codec(upload).encode(update, SEED)] == [None]


def test_whole_numbers_leave_nothing_out() -> None:
    (each,) = codec("top_k", "zstd").encode({"n": np.arange(50)}, SEED)

    assert each.left_out is None


# A stranger's


def refused(
    coded: UpdateCodec, encoded: Parameters, update: Parameters, kind: type[Exception] = UpdateError
) -> str:
    with pytest.raises(kind) as refusal:
        coded.check(encoded, specs(update), SEED, "task train at a")
    return str(refusal.value)


def test_a_tensor_that_is_missing_or_too_many_is_refused() -> None:
    update, coded = {"v": normal(50), "w": normal(50)}, codec("int8")
    encoded = dict(travelled(coded, update))

    more = refused(coded, {**encoded, "x": encoded["w"]}, update, DisclosureError)
    fewer = refused(coded, {"w": encoded["w"]}, update, DisclosureError)

    assert "'x' was not expected" in more
    assert "'v' is missing" in fewer


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: np.append(data, np.uint8(0)),
        lambda data: data.view(np.int8),
        lambda data: data.reshape(2, -1),
        lambda data: np.zeros(0, np.uint8),
    ],
)
def test_a_tensor_of_another_length_dtype_or_shape_is_refused(change: Any) -> None:
    update, coded = {"w": normal(50)}, codec("int8")

    told = refused(coded, {"w": change(travelled(coded, update)["w"])}, update, DisclosureError)

    assert "not what the plan declares: tensor 'w'" in told


def test_an_update_that_was_not_compressed_is_refused() -> None:
    update, coded = {"w": normal(50)}, codec("int8")

    assert "expected from 54 to 54 bytes" in refused(coded, update, update, DisclosureError)


def test_lengths_that_do_not_add_up_are_refused() -> None:
    update, coded = {"w": normal(50)}, codec("zstd")
    encoded = travelled(coded, update)["w"].copy()
    encoded[0] ^= 1

    assert "lengths do not add up" in refused(coded, {"w": encoded}, update)


def test_a_nan_in_a_lossless_frame_is_refused() -> None:
    update, coded = {"w": normal(50)}, codec("zstd")
    bad = travelled(coded, {"w": np.full(50, np.nan, np.float32)})

    assert "unusable in tensor 'w': it has a NaN" in refused(coded, bad, update)


def test_a_truth_value_that_is_none_is_refused() -> None:
    coded = codec("zstd")
    bad = travelled(coded, {"w": np.full(50, 2, np.uint8)})

    assert "boolean" in refused(coded, bad, {"w": np.ones(50, np.bool_)})


def test_numbers_that_overflow_when_decoded_are_refused() -> None:
    update, coded = {"w": normal(2048)}, codec("rotate", "int8")
    encoded = travelled(coded, update)["w"].copy()
    encoded[:4] = np.array([3e38], np.float32).view(np.uint8)

    assert "NaN or an infinity" in refused(coded, {"w": encoded}, update)


@pytest.mark.parametrize("name", [*LOSSY, "zstd"])
@given(data=st.data())
@settings(max_examples=examples(15), deadline=None)
def test_a_changed_update_is_refused_or_gives_finite_numbers(name: str, data: st.DataObject) -> None:
    update, coded = {"w": normal(120)}, codec(*LOSSY.get(name, ["zstd"]))
    encoded = travelled(coded, update)["w"].copy()
    raw = encoded.view(np.uint8).reshape(-1)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, raw.size - 1))] = data.draw(st.integers(0, 255))

    try:
        coded.check({"w": encoded}, specs(update), SEED, "task train at a")
    except UpdateError:
        return
    found = np.asarray(coded.decode({"w": encoded}, specs(update), SEED)["w"])
    assert found.shape == (120,)
    assert np.isfinite(found).all()


def test_reading_a_strangers_frame_takes_no_more_memory_than_its_segment() -> None:
    import tracemalloc

    import zstandard

    update, coded = {"w": normal(1000)}, codec("zstd")
    bomb = np.frombuffer(zstandard.ZstdCompressor().compress(bytes(1 << 26)), np.uint8)
    encoded = np.concatenate([np.array([bomb.size], np.uint32).view(np.uint8), bomb])
    tracemalloc.start()

    told = refused(coded, {"w": encoded}, update, Exception)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert "w" in told
    assert peak < 1 << 20


BY_SEED = ("drive", "eden", "random_k", "rotate")
"""Beginnings of names of chains whose decoding needs the seed."""


@pytest.mark.parametrize("name", [name for name in LOSSY if not any(part in name for part in BY_SEED)])
def test_two_names_of_one_tensor_stay_the_same_bits(name: str) -> None:
    weight = normal(6_000).reshape(60, 100)
    update = {"embedding": weight, "other": weight + 1, "output": weight}
    coded = codec(*LOSSY[name])

    encoded = travelled(coded, update)
    found = coded.decode(encoded, specs(update), SEED)

    assert encoded["embedding"].tobytes() == encoded["output"].tobytes()
    assert np.asarray(found["embedding"]).tobytes() == np.asarray(found["output"]).tobytes()


def test_names_that_begin_with_an_at_sign_are_those_of_groups_in_plans_that_have_some() -> None:
    """In a plan of 0.1 they are tensors of the model like any other, and lose as much."""
    update = {"@w": normal(300)}
    chosen = compression("int8", smallest=1)

    grouped = travelled(UpdateCodec(chosen, grouped=True), update)
    plain = travelled(UpdateCodec(chosen, grouped=False), update)

    assert np.array_equal(grouped["@w"], update["@w"])
    assert plain["@w"].nbytes < update["@w"].nbytes


def test_lossy_steps_act_on_the_groups_that_the_plan_names_and_lossless_ones_on_all() -> None:
    update = {"@control/w": normal(3000), "@counts": normal(3000), "w": normal(3000)}
    chosen = compression("int8", "zstd", smallest=1).model_copy(update={"groups": ("control",)})
    coded = UpdateCodec(chosen)

    found = coded.decode(travelled(coded, update), specs(update), SEED)

    same = {name for name, array in update.items() if np.array_equal(np.asarray(found[name]), array)}
    assert same == {"@counts"}
