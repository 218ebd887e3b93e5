"""Geometric median, Krum, norm bounding and centred clipping: rules that take an update as one vector."""

import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from hanse.aggregation import distances
from hanse.aggregation.clipping import centred_clipping, norm_bounded_mean
from hanse.aggregation.geometric_median import geometric_median
from hanse.aggregation.krum import chosen_by_krum, krum
from hanse.compression.update import UpdateCodec
from hanse.core.plan.transforms import SEGMENT, Compression
from hanse.core.values.lazy import LazyTensor, materialize
from hanse.core.values.parameters import Array, Parameters, specs
from hanse.errors import QuorumError, UpdateError

Updates = list[dict[str, Array]]
Rule = Callable[[Sequence[Parameters]], dict[str, Array]]

EXAMPLES = [30, 10, 25, 40, 5, 12, 7]
RULES: dict[str, Rule] = {
    "geometric_median": lambda updates: geometric_median(updates, EXAMPLES[: len(updates)]),
    "krum": lambda updates: krum(updates, 1),
    "multi_krum": lambda updates: krum(updates, 1, 3),
    "norm_bounded_mean": lambda updates: norm_bounded_mean(updates, EXAMPLES[: len(updates)], 20.0),
    "centred_clipping": lambda updates: centred_clipping(updates, 5.0),
}


def cohort(count: int = 7, *, size: int = 600, dtype: str = "f8") -> Updates:
    """Updates of two tensors around one point, the last one far from all others."""
    rng = np.random.default_rng(7)
    updates = [
        {"w": rng.normal(1, 0.5, (size // 20, 20)).astype(dtype), "b": rng.normal(-1, 0.5, 9).astype(dtype)}
        for _ in range(count)
    ]
    updates[-1] = {name: 1000 * array for name, array in updates[-1].items()}
    return updates


def vectors(updates: Sequence[Parameters]) -> Array:
    """One row an update, (updates, numbers)."""
    return np.array(
        [np.concatenate([np.asarray(array).ravel() for array in each.values()]) for each in updates]
    )


def check_equals(found: Parameters, expected: Array) -> None:
    np.testing.assert_allclose(vectors([found])[0], expected, rtol=1e-12, atol=1e-12)


def same(found: Parameters, expected: Parameters) -> bool:
    first, second = materialize(found), materialize(expected)
    return list(first) == list(second) and all(
        (first[name].dtype, first[name].shape, first[name].tobytes())
        == (second[name].dtype, second[name].shape, second[name].tobytes())
        for name in first
    )


# Equal to the papers' pseudocode.


@pytest.mark.parametrize("iterations", [1, 3, 50])
def test_the_geometric_median_is_algorithm_2_of_its_paper(iterations: int) -> None:
    updates = cohort()
    w, alpha, nu = vectors(updates), np.array(EXAMPLES) / sum(EXAMPLES), 1e-6
    v = np.zeros(w.shape[1])
    for _ in range(iterations):
        beta = alpha / np.maximum(nu, np.linalg.norm(v - w, axis=1))
        v = (beta[:, None] * w).sum(axis=0) / beta.sum()

    check_equals(geometric_median(updates, EXAMPLES, iterations=iterations), v)


@pytest.mark.parametrize("keep", [1, 3, 5])
@pytest.mark.parametrize("byzantine", [0, 1, 2])
def test_krum_is_the_mean_of_those_with_the_lowest_scores(byzantine: int, keep: int) -> None:
    updates = cohort()
    v, n = vectors(updates), len(updates)
    scores = []
    for i in range(n):
        squares = sorted(float(np.sum((v[i] - v[j]) ** 2)) for j in range(n) if j != i)
        scores.append(sum(squares[: n - byzantine - 2]))
    best = np.argsort(scores, kind="stable")[:keep]

    check_equals(krum(updates, byzantine, keep), v[best].mean(axis=0))


@pytest.mark.parametrize("norm", [1e-3, 25.0, 1e6])
def test_norm_bounding_is_the_formula_of_its_paper(norm: float) -> None:
    updates = cohort()
    w, n = vectors(updates), np.array(EXAMPLES)
    bounded = w / np.maximum(1, np.linalg.norm(w, axis=1) / norm)[:, None]

    check_equals(norm_bounded_mean(updates, EXAMPLES, norm), (n[:, None] * bounded).sum(axis=0) / n.sum())


@pytest.mark.parametrize("iterations", [1, 3, 20])
@pytest.mark.parametrize("tau", [0.5, 10.0, 1e6])
def test_centred_clipping_is_algorithm_2_of_its_paper_from_zero(tau: float, iterations: int) -> None:
    updates = cohort()
    m = vectors(updates)
    v = np.zeros(m.shape[1])
    for _ in range(iterations):
        far = np.linalg.norm(m - v, axis=1)
        v = v + ((m - v) * np.minimum(1, tau / far)[:, None]).mean(axis=0)

    check_equals(centred_clipping(updates, tau, iterations=iterations), v)


# What they are for.


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("size", [1e4, 1e150, 1e300])
def test_one_update_of_any_length_cannot_move_the_model_far(rule: Rule, size: float) -> None:
    good = [{"w": np.full(50, value)} for value in (0.9, 1.0, 1.0, 1.1)]

    found = rule([*good, {"w": np.full(50, -size)}])

    assert np.all(np.abs(np.asarray(found["w"]) - 1) < 1.5)


def test_a_geometric_median_that_is_reached_lies_among_the_good_ones() -> None:
    good = [{"w": np.full(50, value)} for value in (0.9, 1.0, 1.0, 1.1)]

    found = geometric_median([*good, {"w": np.full(50, -1e9)}], [1] * 5, iterations=100)

    assert np.all(np.abs(np.asarray(found["w"]) - 1) < 0.11)


def test_krum_names_none_of_as_many_bad_updates_as_it_is_told_of() -> None:
    rng = np.random.default_rng(3)
    good = [{"w": rng.normal(0, 1, 100)} for _ in range(5)]
    bad = [{"w": np.full(100, 7.0)}, {"w": np.full(100, 7.0)}]

    assert set(chosen_by_krum([*bad, *good], 2, 5)) == {2, 3, 4, 5, 6}


def test_of_equal_scores_the_earlier_update_is_chosen() -> None:
    updates = [{"w": np.ones(10)} for _ in range(5)]

    assert chosen_by_krum(updates, 1, 2) == (0, 1)


# Tied weights.


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_tied_weights_count_once(rule: Rule) -> None:
    updates = cohort(7)

    tied = rule([{**update, "also": np.array(update["w"])} for update in updates])

    assert same({name: tied[name] for name in updates[0]}, rule(updates))
    assert np.asarray(tied["also"]).tobytes() == np.asarray(tied["w"]).tobytes()


def test_tensors_alike_in_one_update_alone_count_each() -> None:
    honest = {"v": np.full(4, 0.1), "w": np.full(4, 0.2)}
    alike = {"v": np.full(4, 3.0), "w": np.full(4, 3.0)}

    assert distances.distances([honest, alike])[1] == pytest.approx(np.sqrt(8) * 3)


# Dtypes.


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ml_dtypes.bfloat16])
def test_tensors_keep_their_names_shapes_and_dtypes(rule: Rule, dtype: str) -> None:
    updates = [{name: array.astype(dtype) for name, array in each.items()} for each in cohort(5)]

    found = rule(updates)

    assert specs(materialize(found)) == specs(updates[0])
    assert all(np.isfinite(np.asarray(array, np.float64)).all() for array in found.values())


@pytest.mark.parametrize("name", ["geometric_median", "norm_bounded_mean", "centred_clipping"])
def test_of_counts_and_switches_the_median_is_taken(name: str) -> None:
    counts = [4, 5, 6, 7, 10**12]
    updates = [
        {"seen": np.array([count]), "w": array["b"], "on": np.array([count > 4])}
        for count, array in zip(counts, cohort(5), strict=True)
    ]

    found = materialize(RULES[name](updates))

    assert list(found) == ["seen", "w", "on"]
    assert found["seen"].tolist() == [6]
    assert found["on"].tolist() == [True]


def test_of_counts_krum_takes_the_mean_of_those_it_chose() -> None:
    counts = [1, 2, 30, 4, 10**12]
    updates = [{"seen": np.array([n]), "w": each["b"]} for n, each in zip(counts, cohort(5), strict=True)]

    chosen = chosen_by_krum(updates, 1, 3)

    assert 4 not in chosen
    assert krum(updates, 1, 3)["seen"].__array__().tolist() == [round(sum(counts[n] for n in chosen) / 3)]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_updates_that_are_all_zero_stay_zero(rule: Rule) -> None:
    found = rule([{"w": np.zeros(3, np.float32)} for _ in range(5)])

    assert np.asarray(found["w"]).tolist() == [0, 0, 0]


# The same bits.


@pytest.mark.parametrize("at_once", [1, 1 << 19, 1 << 21])
@pytest.mark.parametrize("threads", [1, 3])
def test_no_block_and_no_thread_changes_a_bit_of_a_distance(at_once: int, threads: int) -> None:
    updates, how = cohort(5, size=1_100_000, dtype="f4"), {"at_once": at_once, "threads": threads}
    shares = [0.1, 0.2, 0.3, 0.4, 0.0]

    assert distances.distances(updates, shares, **how) == distances.distances(updates, shares)
    assert np.array_equal(
        distances.squared_distances_of_pairs(updates, **how), distances.squared_distances_of_pairs(updates)
    )


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_tensors_that_are_computed_where_they_are_read_give_the_same_bits(rule: Rule) -> None:
    updates = cohort(5, size=50_000, dtype="f4")

    def lazily(array: Array, block: int) -> Array:
        flat = array.ravel()
        return LazyTensor(array.shape, array.dtype, lambda begin, end: flat[begin:end], block).as_array

    lazy = [{name: lazily(array, 1000) for name, array in each.items()} for each in updates]

    assert same(rule(lazy), rule(updates))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_compressed_updates_and_decoded_ones_give_the_same_bits(rule: Rule) -> None:
    codec, rng = UpdateCodec(Compression.model_validate({"upload": ["int8"]})), np.random.default_rng(0)
    decoded = []
    for site in range(5):
        update = {"w": rng.standard_normal(SEGMENT + 7).astype(np.float32)}
        encoded = {each.name: each.data for each in codec.encode(update, site)}
        decoded.append(codec.decode(encoded, specs(update), site))

    assert same(rule(decoded), rule([materialize(each) for each in decoded]))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_memory_does_not_grow_with_the_updates(tmp_path: Path, rule: Rule) -> None:
    size = 1 << 20
    maps = []
    for number in range(7):
        np.full(size, number, np.float32).tofile(tmp_path / str(number))
        maps.append({"w": np.memmap(tmp_path / str(number), np.float32, "r")})
    tracemalloc.start()

    found = rule(maps)

    assert isinstance(found["w"], LazyTensor)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * size


# Refused.


@pytest.mark.parametrize(("byzantine", "keep", "needed"), [(1, 1, 5), (2, 1, 7), (1, 5, 6), (0, 1, 3)])
def test_fewer_updates_than_krum_needs_are_refused(byzantine: int, keep: int, needed: int) -> None:
    updates = [{"w": np.zeros(2)} for _ in range(needed)]

    assert krum(updates, byzantine, keep)
    with pytest.raises(QuorumError, match=rf"needs the updates of {needed} sites .* there are {needed - 1}"):
        krum(updates[1:], byzantine, keep)


@pytest.mark.parametrize("name", ["geometric_median", "norm_bounded_mean", "centred_clipping"])
def test_without_updates_there_is_nothing_to_take(name: str) -> None:
    with pytest.raises(UpdateError, match="no update"):
        RULES[name]([])


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_updates_that_do_not_fit_together_are_refused(rule: Rule) -> None:
    updates: Updates = [{"w": np.zeros(2)} for _ in range(4)]

    with pytest.raises(UpdateError, match="update 5 of 5 does not fit the first: tensor 'w' has shape"):
        rule([*updates, {"w": np.zeros(3)}])


@pytest.mark.parametrize(
    "refused",
    [
        lambda updates: norm_bounded_mean(updates, [1], 0.0),
        lambda updates: norm_bounded_mean(updates, [1], float("inf")),
        lambda updates: centred_clipping(updates, float("nan")),
        lambda updates: centred_clipping(updates, 1.0, iterations=0),
        lambda updates: geometric_median(updates, [1], iterations=0),
        lambda updates: geometric_median(updates, [1], smoothing=0.0),
        lambda updates: geometric_median(updates, [-1]),
    ],
)
def test_settings_out_of_range_are_refused(refused: Rule) -> None:
    with pytest.raises(ValueError, match=r"above 0|at least"):
        refused([{"w": np.zeros(2)}])


def test_updates_all_beyond_float64_have_no_geometric_median() -> None:
    with pytest.raises(UpdateError, match="too long"):
        geometric_median([{"w": np.array([1e200])}, {"w": np.array([-1e200])}], [1, 1])
