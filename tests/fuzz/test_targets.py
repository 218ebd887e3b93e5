"""No input makes a decoder do anything but read it or refuse it in words."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.examples import MESSAGES
from tests.fuzz.mutation import mutate
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS
from tests.thorough import examples

from hanse.core.values.schema import Strict
from hanse.errors import ProtocolError
from hanse.transport.api.route import Route
from hanse.transport.api.routes import ROUTES
from hanse.wire.messages import basics as messages_basics
from hanse.wire.messages import evidence as messages_evidence
from hanse.wire.messages import members as messages_members
from hanse.wire.messages import runs as messages_runs
from hanse.wire.messages import sites as messages_sites
from hanse.wire.messages import sums as messages_sums

CRASHES = Path(__file__).parent / "crashes"


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=examples(40), derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(rand=st.randoms(use_true_random=False))
def test_a_changed_input_is_read_or_refused(name: str, rand: random.Random) -> None:
    target = TARGETS[name]
    seeds = target.seeds()

    target.check(mutate(target, rand.choice(seeds), rand.choice(seeds), rand))


@pytest.mark.parametrize("name", TARGETS)
def test_a_valid_input_is_read(name: str) -> None:
    target = TARGETS[name]

    for seed in target.seeds():
        target.run(seed)


@pytest.mark.parametrize(
    "path", sorted(CRASHES.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}"
)
def test_what_once_crashed_is_read_or_refused(path: Path) -> None:
    TARGETS[path.parent.name].check(path.read_bytes())


def test_every_message_and_every_route_is_a_target() -> None:
    modules = (
        messages_basics,
        messages_members,
        messages_runs,
        messages_sites,
        messages_sums,
        messages_evidence,
    )
    own = [thing for module in modules for thing in vars(module).values() if _defined_in(thing, module)]
    kinds = {kind for kind in own if isinstance(kind, type) and issubclass(kind, Strict)}
    kinds |= {kind for route in ROUTES if isinstance(route, Route) for kind in (route.request, route.reply)}

    assert kinds == MESSAGES.keys()


def _defined_in(thing: object, module: ModuleType) -> bool:
    return getattr(thing, "__module__", None) == module.__name__


def test_a_target_has_the_same_seeds_each_time() -> None:
    script = "from tests.fuzz.targets import TARGETS; print([t.seeds() for t in TARGETS.values()])"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert other.stdout.strip() == str([target.seeds() for target in TARGETS.values()])


def test_a_decoder_that_fails_is_noticed() -> None:
    def fail(data: bytes) -> None:
        raise KeyError(data)

    with pytest.raises(KeyError):
        Target("broken", fail, lambda: [b""]).check(b"x")


def test_a_refusal_as_long_as_its_input_is_noticed() -> None:
    def refuse(data: bytes) -> None:
        raise ProtocolError(repr(data))

    with pytest.raises(AssertionError, match="tells 100003 characters"):
        Target("talkative", refuse, lambda: [b""]).check(b"x" * 100_000)
