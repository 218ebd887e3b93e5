"""Each rule against the pseudocode of its paper, written out in NumPy: several sites and rounds, float64."""

from pathlib import Path

import numpy as np
import pytest
from tests.unit.local.sites import (
    LR,
    MOMENTUM,
    STEPS,
    Sites,
    full_gradient,
    table,
    trained,
    vector,
)

from hanse.core.values.parameters import Array
from hanse.core.values.update import TaskResult
from hanse.local import Clip, ControlVariates, Dynamic, Normalise, Proximal

ROUNDS = 5
SITES = range(len(STEPS))
CLOSE = {"rtol": 0, "atol": 1e-12}


def test_proximal_is_fedprox(tmp_path: Path) -> None:
    mu = 0.7
    sites, theta, expected = Sites(tmp_path, [Proximal(mu)]), np.zeros(5), np.zeros(5)

    for _ in range(ROUNDS):
        theta = np.mean([vector(trained(answer)) for answer in sites.round(table(theta))], axis=0)
        ends = []
        for k in SITES:  # eq. 2 of arXiv 1812.06127, solved inexactly by gradient descent
            w = expected
            for _ in range(STEPS[k]):
                w = w - LR * (full_gradient(k, w) + mu * (w - expected))
            ends.append(w)
        expected = np.mean(ends, axis=0)

        np.testing.assert_allclose(theta, expected, **CLOSE)


def test_no_pull_is_fedavg_to_the_bit(tmp_path: Path) -> None:
    model = table(np.arange(5) / 3)

    plain = Sites(tmp_path / "plain", []).round(model)
    proximal = Sites(tmp_path / "proximal", [Proximal(0.0)]).round(model)

    assert [vector(trained(a)).tobytes() for a in plain] == [vector(trained(a)).tobytes() for a in proximal]


@pytest.mark.parametrize("momentum", [0.0, MOMENTUM], ids=["sgd", "momentum"])
def test_control_variates_are_scaffold(tmp_path: Path, momentum: float) -> None:
    sites = Sites(tmp_path, [ControlVariates()], momentum=momentum)
    theta, c = np.zeros(5), np.zeros(5)
    x, server = np.zeros(5), np.zeros(5)
    own: list[Array] = [np.zeros(5) for _ in SITES]

    for _ in range(ROUNDS):
        answers = sites.round(table(theta), {"control": table(c)})
        theta = np.mean([vector(trained(answer)) for answer in answers], axis=0)
        c = c + np.mean([vector(answer.groups["control"]) for answer in answers], axis=0)
        ends, changes = [], []
        for i in SITES:  # Algorithm 1 of arXiv 1910.06378, all sites in every round, eta_g = 1
            y, velocity, raw = x, np.zeros(5), []
            for _ in range(STEPS[i]):
                raw.append(full_gradient(i, y))
                velocity = momentum * velocity + raw[-1] - own[i] + server
                y = y - LR * velocity
            after = np.mean(raw, axis=0)
            if not momentum:  # option II as it is printed
                np.testing.assert_allclose(after, own[i] - server + (x - y) / (STEPS[i] * LR), **CLOSE)
            ends.append(y)
            changes.append(after - own[i])
            own[i] = after
        x, server = np.mean(ends, axis=0), server + np.mean(changes, axis=0)

        np.testing.assert_allclose(theta, x, **CLOSE)
        np.testing.assert_allclose(c, server, **CLOSE)


def test_dynamic_is_feddyn(tmp_path: Path) -> None:
    alpha = 0.3
    sites = Sites(tmp_path, [Dynamic(alpha)])
    theta, server = np.zeros(5), np.zeros(5)
    expected, h = np.zeros(5), np.zeros(5)
    linear: list[Array] = [np.zeros(5) for _ in SITES]

    for _ in range(ROUNDS):
        mean = np.mean([vector(trained(answer)) - theta for answer in sites.round(table(theta))], axis=0)
        server = server - alpha * mean
        theta = theta + mean - server / alpha
        ends = []
        for k in SITES:  # Algorithm 1 of arXiv 2111.04263, the minimum approached by gradient descent
            w = expected
            for _ in range(STEPS[k]):
                w = w - LR * (full_gradient(k, w) - linear[k] + alpha * (w - expected))
            linear[k] = linear[k] - alpha * (w - expected)
            ends.append(w)
        h = h - alpha * sum(w - expected for w in ends) / len(SITES)
        expected = np.mean(ends, axis=0) - h / alpha

        np.testing.assert_allclose(theta, expected, **CLOSE)


@pytest.mark.parametrize("momentum", [0.0, MOMENTUM], ids=["sgd", "momentum"])
def test_normalise_is_fednova(tmp_path: Path, momentum: float) -> None:
    sites = Sites(tmp_path, [Normalise(momentum)], momentum=momentum)
    theta, expected = np.zeros(5), np.zeros(5)

    for _ in range(ROUNDS):
        answers = sites.round(table(theta))
        tau = np.mean([answer.groups["steps"] for answer in answers])
        theta = theta + tau * np.mean([vector(trained(answer)) - theta for answer in answers], axis=0)
        norms, normalised = [], []
        for i in SITES:  # arXiv 2007.07481: G_i a_i / ||a_i||_1, with a_i of SGD with momentum
            w, velocity, gradients = expected, np.zeros(5), []
            for _ in range(STEPS[i]):
                gradients.append(full_gradient(i, w))
                velocity = momentum * velocity + gradients[-1]
                w = w - LR * velocity
            a = [sum(momentum**power for power in range(STEPS[i] - step)) for step in range(STEPS[i])]
            norms.append(sum(a))
            normalised.append(np.transpose(gradients) @ a / sum(a))
        expected = expected - np.mean(norms) * LR * np.mean(normalised, axis=0)

        np.testing.assert_allclose(theta, expected, **CLOSE)
        assert tau == pytest.approx(np.mean(norms), abs=1e-12)


def test_clip_bounds_the_update_and_keeps_its_direction(tmp_path: Path) -> None:
    theta = np.ones(5)
    free = [vector(trained(answer)) - theta for answer in Sites(tmp_path / "free", []).round(table(theta))]
    bound = sorted(float(np.linalg.norm(update)) for update in free)[1]

    clipped = Sites(tmp_path / "clipped", [Clip(bound)]).round(table(theta))

    for answer, update in zip(clipped, free, strict=True):
        expected = update / max(1, np.linalg.norm(update) / bound)
        np.testing.assert_allclose(vector(trained(answer)) - theta, expected, **CLOSE)


def test_clip_counts_tied_weights_once() -> None:
    received = {"a": np.zeros(2), "tied": np.zeros(2), "b": np.zeros(2)}
    ended = {"a": np.array([3.0, 0]), "tied": np.array([3.0, 0]), "b": np.array([0.0, 4])}
    clip = Clip(1.0).begin(received, {}, {})

    result, _ = clip.end(TaskResult(1, {}, ended), 1)

    shorter = vector_of(result, "a", "b")
    np.testing.assert_allclose(shorter, [0.6, 0, 0, 0.8], **CLOSE)
    np.testing.assert_array_equal(vector_of(result, "tied"), shorter[:2])


def vector_of(result: TaskResult, *names: str) -> Array:
    return np.concatenate([trained(result)[name] for name in names])


@pytest.mark.parametrize("rule", [ControlVariates(), Dynamic(0.1)], ids=lambda rule: rule.name)
def test_what_a_rule_keeps_survives_a_restart_to_the_bit(
    tmp_path: Path, rule: ControlVariates | Dynamic
) -> None:
    whole, broken = Sites(tmp_path / "whole", [rule]), Sites(tmp_path / "broken", [rule])
    model, groups = table(np.arange(5) / 7), {"control": table(np.arange(5) / 9)}
    for _ in range(2):
        whole.round(model, groups)
        broken.round(model, groups)
        broken.restart()

    one, two = whole.round(model, groups), broken.round(model, groups)

    assert [vector(trained(a)).tobytes() for a in one] == [vector(trained(a)).tobytes() for a in two]
    first = vector(trained(Sites(tmp_path / "first", [rule]).round(model, groups)[0]))
    assert vector(trained(one[0])).tobytes() != first.tobytes()
