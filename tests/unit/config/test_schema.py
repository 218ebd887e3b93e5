"""A schema as something to walk."""

from pydantic import Field, JsonValue

from hanse.config.schema import ITEM, NAME, Node, spell
from hanse.core.values.schema import Duration, Label, Strict


class Inner(Strict):
    wait: Duration = 5.0


class Outer(Strict):
    name: str
    inner: Inner = Field(default_factory=Inner, description="always there")
    maybe: Inner | None = Field(None, description="not always there")
    named: dict[Label, Inner] = Field(default_factory=dict)
    free: dict[str, JsonValue] = Field(default_factory=dict)
    several: tuple[Inner, ...] = ()


TOP = Node.of(Outer)


def test_a_table_has_keys_in_the_order_of_the_schema() -> None:
    assert list(TOP.keys) == ["name", "inner", "maybe", "named", "free", "several"]
    assert [key for key, node in TOP.keys.items() if node.required] == ["name"]


def test_references_and_null_are_resolved_and_the_nearest_description_wins() -> None:
    inner, maybe = TOP.keys["inner"], TOP.keys["maybe"]

    assert list(inner.keys) == list(maybe.keys) == ["wait"]
    assert (inner.spec["description"], maybe.spec["description"]) == ("always there", "not always there")


def test_a_place_is_found_by_keys_and_indices() -> None:
    for loc in [("inner", "wait"), ("named", "x", "wait"), ("several", 3, "wait")]:
        node = TOP.at(loc)
        assert node is not None
        assert node.spec["format"] == "duration"


def test_nothing_is_known_of_a_place_that_is_free() -> None:
    assert TOP.at(("nowhere", "wait")) is None
    assert TOP.at(("free", "x", "y")) is None


def test_every_table_with_known_keys_is_listed_with_its_place() -> None:
    assert [loc for loc, _ in TOP.tables()] == [
        (),
        ("inner",),
        ("maybe",),
        ("named", NAME),
        ("several", ITEM),
    ]


def test_a_place_is_spelled_as_people_do() -> None:
    assert spell(("tasks", "train", "discloses", "metrics", 0)) == "tasks.train.discloses.metrics[0]"
    assert spell(()) == ""
