"""Rules from the entries of a plan, and back."""

from pydantic import TypeAdapter

from hanse.core.plan.local_rules import LOCAL_RULES, LocalRule
from hanse.local import Clip, ControlVariates, Dynamic, Normalise, Proximal
from hanse.local.registry import RULES, local_rules, made, written

ENTRIES = [
    {"name": "proximal", "mu": 0.01},
    {"name": "control_variates"},
    {"name": "dynamic", "alpha": 0.1},
    {"name": "normalise", "momentum": 0.9},
    {"name": "clip", "norm": 2.0},
]


def test_every_entry_of_a_plan_has_its_rule() -> None:
    entries = [TypeAdapter(LocalRule).validate_python(entry) for entry in ENTRIES]

    rules = local_rules(entries)

    assert rules == (Proximal(0.01), ControlVariates(), Dynamic(0.1), Normalise(0.9), Clip(2.0))
    assert list(RULES) == [kind.model_fields["name"].default for kind in LOCAL_RULES]


def test_a_rule_is_written_as_its_entry() -> None:
    assert [written(made(entry)) for entry in ENTRIES] == ENTRIES
