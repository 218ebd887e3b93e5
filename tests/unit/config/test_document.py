"""A file of settings, from text to a checked value."""

import difflib
from pathlib import Path
from typing import Annotated, Literal, Self
from unittest.mock import patch

import pytest
from pydantic import Field, model_validator

from hanse.config.document import MAX_BYTES, Document
from hanse.core.values.schema import Name, PlacedError, Problem, Strict
from hanse.errors import ConfigError, PlanError


class Engine(Strict):
    power: int = Field(7, ge=1, description="in kW")


class Oar(Strict):
    name: Literal["oar"] = "oar"
    blades: int = Field(1, ge=1)


class Sail(Strict):
    name: Literal["sail"] = "sail"
    area: float = 20.0


class Boat(Strict):
    name: Name
    length: float = 10.0
    flags: tuple[str, ...] = ()
    engine: Engine = Field(default_factory=Engine)
    spare: Engine | None = None
    drives: tuple[Annotated[Oar | Sail, Field(discriminator="name")], ...] = ()
    crew: dict[str, Engine] = Field(default_factory=dict)


def check(text: str) -> Boat:
    return Document.of(text, "boat.yaml", ConfigError).check(Boat)


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        check(text)
    return str(refused.value).splitlines()


def test_a_good_file_becomes_a_value() -> None:
    assert check("name: kogge\nengine: {power: 9}\nflags: [red]") == Boat(
        name="kogge", engine=Engine(power=9), flags=("red",)
    )


class Fleet(Strict):
    ships: dict[str, Boat]

    @model_validator(mode="after")
    def _crews(self) -> Self:
        if problems := [
            Problem(("ships", name, "crew"), f"{name} has no crew: hire some")
            for name, ship in self.ships.items()
            if not ship.crew
        ]:
            raise PlacedError(problems)
        return self


def test_each_problem_of_a_table_as_a_whole_is_told_at_its_own_place() -> None:
    text = (
        "ships:\n  one: {name: kogge}\n  two: {name: barge, crew: {ann: {power: 1}}}\n  three: {name: hulk}"
    )
    with pytest.raises(ConfigError) as refused:
        Document.of(text, "fleet.yaml", ConfigError).check(Fleet)
    assert str(refused.value).splitlines() == [
        "fleet.yaml:2: ships.one.crew: one has no crew: hire some",
        "fleet.yaml:4: ships.three.crew: three has no crew: hire some",
    ]


def test_every_problem_is_told_with_file_line_and_key() -> None:
    text = """
length: long
flags: [red, 3]
engine:
  powr: 3
  power: 0
"""
    assert problems(text) == [
        "boat.yaml: name: is missing",
        'boat.yaml:2: length: should be a number, is "long"',
        "boat.yaml:3: flags[1]: should be text, is 3",
        "boat.yaml:5: engine.powr: unknown key; did you mean `power`?",
        "boat.yaml:6: engine.power: should be greater than or equal to 1, is 0",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name: a\nlenght: 3", "boat.yaml:2: lenght: unknown key; did you mean `length`?"),
        ("name: a\npower: 3", "boat.yaml:2: power: unknown key; it stands at `engine.power`"),
        (
            "name: a\nengine: {sails: 3}",
            "boat.yaml:2: engine.sails: unknown key; known here are power",
        ),
        ("name: a\nengine: 3", "boat.yaml:2: engine: should be a table of keys and values, is 3"),
        ("name: a\nlength: '3'", 'boat.yaml:2: length: should be a number, is "3"'),
        ("name: a\nlength: true", "boat.yaml:2: length: should be a number, is true"),
        (
            "name: a\ncrew:\n  bo: {power: 1.5}",
            "boat.yaml:3: crew.bo.power: should be a whole number, is 1.5",
        ),
        ("name: a\nname: b", "boat.yaml:2: the key 'name' is there twice, first on line 1"),
        ("name: a\nflags: red", 'boat.yaml:2: flags: should be a list, is "red"'),
        ("", "boat.yaml: should hold keys and values, such as `name: my-name`"),
        ("- a", "boat.yaml: should hold keys and values, such as `name: my-name`"),
    ],
)
def test_a_problem_says_what_is_wrong(text: str, problem: str) -> None:
    assert problems(text) == [problem]


@pytest.mark.parametrize(
    ("drive", "problem"),
    [
        ("{name: sial}", "drives[0]: `sial` is not a known name; did you mean `sail`?"),
        ("{name: steam}", "drives[0]: `steam` is not a known name; known here are oar, sail"),
        ("{area: 9}", 'drives[0]: lacks `name`, one of oar, sail; is {"area": 9}'),
        ("{name: sail, aera: 9}", "drives[0].aera: unknown key; did you mean `area`?"),
        ("{name: oar, blades: 0}", "drives[0].blades: should be greater than or equal to 1, is 0"),
    ],
)
def test_a_choice_by_name_is_told_by_the_names_there_are(drive: str, problem: str) -> None:
    assert problems(f"name: a\ndrives:\n- {drive}") == [f"boat.yaml:3: {problem}"]


def test_what_is_long_is_cut_short_and_what_are_many_are_counted() -> None:
    assert problems(f"name: a\nlength: {'x' * 9_999}")[0].endswith("xxx...")
    many = problems("name: a\n" + "\n".join(f"key{number}: 1" for number in range(50)))
    assert len(many) == 21
    assert many[-1] == "and 30 more"


def test_a_table_of_which_only_the_name_stands_there_is_empty() -> None:
    assert check("name: a\nengine:\n  # power: 9\ncrew:\n  bo:\n") == Boat(name="a", crew={"bo": Engine()})


def test_null_takes_away_what_can_be_taken_away() -> None:
    assert check("name: a\nspare: null").spare is None


def test_a_file_is_named_as_it_was_given(tmp_path: Path) -> None:
    file = tmp_path / "boat.yaml"
    file.write_text("name: Kogge")

    with pytest.raises(PlanError, match=rf"^{file}:1: name: 'Kogge' is not a valid name"):
        Document.load(file, PlanError).check(Boat)


def test_a_file_that_is_missing_or_no_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(ConfigError, match=f"cannot read {path}: "):
            Document.load(path, ConfigError)


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "boat.yaml"
    file.write_bytes(b"#" * (MAX_BYTES + 1))

    with pytest.raises(ConfigError, match="longer than 256 KiB"):
        Document.load(file, ConfigError)


def test_a_path_with_a_nul_is_refused() -> None:
    with pytest.raises(ConfigError, match="has a NUL character"):
        Document.load(Path("a\0b"), ConfigError)


def test_a_file_in_another_encoding_is_refused_with_the_line(tmp_path: Path) -> None:
    file = tmp_path / "boat.yaml"
    file.write_bytes("name: a\n# Lübeck".encode("latin-1"))

    with pytest.raises(ConfigError, match=r"boat.yaml:2: not UTF-8 text\. Save it as UTF-8"):
        Document.load(file, ConfigError)


def test_a_file_that_is_wrong_everywhere_is_refused_at_once_and_briefly() -> None:
    text = "name: a\n" + "".join(f"key{n}: 1\n" for n in range(10_000)) + f"? {'a' * 50_000}\n: 1\n"

    with (
        patch("difflib.get_close_matches", wraps=difflib.get_close_matches) as compared,
        pytest.raises(ConfigError) as told,
    ):
        Document.of(text, "boat.yaml", ConfigError).check(Boat)

    assert compared.call_count < 30  # not once for each of the keys
    assert "and 9981 more" in str(told.value)
    assert len(str(told.value)) < 10_000
