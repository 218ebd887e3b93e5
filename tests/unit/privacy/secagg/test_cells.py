"""Families of rosters over many plans: none that passes without a person gives a single site away."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from fractions import Fraction

from tests.masked_sums import Site, member, sites

from hanse.privacy.secagg.cells import EarlierRoster, agreement, overlaps, question
from hanse.privacy.secagg.site import SumPhase
from hanse.privacy.secagg.site_steps import AskPerson, RosterCame, WriteMasked

Cell = frozenset[str]


def signers(cell: Iterable[str]) -> dict[str, str]:
    """Fingerprints by name; `d*` is another key under the name d."""
    return {name.rstrip("*"): f"key of {name}" for name in cell}


def earlier(cell: Iterable[str], name: str = "all") -> EarlierRoster:
    return EarlierRoster("ab" * 32, name, signers(cell))


def solved(cells: Sequence[Cell]) -> set[str]:
    """The sites whose own numbers are a combination of the sums over the cells."""
    names = sorted(frozenset().union(*cells))
    rows = [[Fraction(int(name in cell)) for name in names] for cell in cells]
    rank = _rank(rows)
    return {
        name
        for k, name in enumerate(names)
        if _rank([*rows, [Fraction(int(j == k)) for j in range(len(names))]]) == rank
    }


def _rank(rows: list[list[Fraction]]) -> int:
    left, rank = [row[:] for row in rows], 0
    for column in range(len(rows[0])):
        pivot = next((k for k in range(rank, len(left)) if left[k][column]), None)
        if pivot is None:
            continue
        left[rank], left[pivot] = left[pivot], left[rank]
        for k, row in enumerate(left):
            if k != rank and row[column]:
                factor = row[column] / left[rank][column]
                left[k] = [a - factor * b for a, b in zip(row, left[rank], strict=True)]
        rank += 1
    return rank


class Federation:
    """Sites that each remember their own rosters, and agree to nothing."""

    def __init__(self, impostors: Iterable[str] = ()) -> None:
        self.memory: dict[str, list[EarlierRoster]] = {}
        self.impostors = set(impostors)

    def sums(self, cell: Iterable[str]) -> bool:
        """True if all honest members of a cell mask without a person."""
        honest = set(cell) - self.impostors
        if any(overlaps(signers(cell), self.memory.get(site, ())) for site in honest):
            return False
        for site in honest:
            self.memory.setdefault(site, []).append(earlier(cell))
        return True


def grows_by_enough(cell: Cell, before: Iterable[Cell], c: int) -> bool:
    """The rule that fell: a cell passes that contains the earlier ones and c + 2 further sites."""
    return all(cell == old or not cell & old or (old < cell and len(cell - old) >= c + 2) for old in before)


NORTH, SOUTH = frozenset("abcd"), frozenset("efgh")
ALL = NORTH | SOUTH | {"z"}


def test_two_cells_and_then_both_with_one_site_more_wait_for_a_person() -> None:
    federation = Federation()

    assert solved([NORTH, SOUTH, ALL]) == {"z"}
    assert all(grows_by_enough(ALL, [cell], 1) for cell in (NORTH, SOUTH))
    assert [federation.sums(cell) for cell in (NORTH, SOUTH, ALL)] == [True, True, False]


def test_the_same_cell_passes_as_often_as_it_is_asked() -> None:
    federation = Federation()

    assert all(federation.sums(NORTH) for _ in range(5))


def test_another_key_under_an_old_name_waits_for_a_person() -> None:
    federation = Federation(impostors={"d*", "x"})

    assert federation.sums(["a", "b", "d", "x"])
    assert not federation.sums(["a", "b", "d*", "x"])
    assert overlaps(signers(["a", "b", "d*", "x"]), [earlier("abdx")])[0].disclosed == ("d",)


def test_every_family_that_the_first_design_fell_to_waits() -> None:
    everybody = frozenset("abcdefghiz")
    families = [
        [
            everybody,
            everybody - set("abc"),
            everybody - set("def"),
            everybody - set("ghi"),
            everybody - {"z"},
        ],
        [everybody, everybody - {"z"}],
        [frozenset(line) for line in ("abc", "ade", "afg", "bdf", "beg", "cdg", "cef")],  # Fano
        [frozenset("abcd"), frozenset("abce"), frozenset("abde"), frozenset("acde"), frozenset("bcde")],
    ]
    for family in families:
        federation = Federation()
        assert solved(family)
        assert [federation.sums(cell) for cell in family] == [True] + [False] * (len(family) - 1)


def test_no_family_that_passes_gives_a_site_away() -> None:
    rng, names = random.Random(1), [chr(ord("a") + k) for k in range(14)]
    refused = 0
    for _ in range(300):
        federation, passed = Federation(), list[Cell]()
        for _ in range(12):
            merged = frozenset[str]().union(*rng.sample(passed, rng.randint(0, min(3, len(passed)))))
            cell = merged | set(rng.sample(names, rng.randint(0 if merged else 3, 5)))
            if federation.sums(cell):
                passed.append(cell)
            else:
                refused += 1
        assert len(set(passed)) > 0
        assert not solved(list(dict.fromkeys(passed)))
    assert refused > 300


def test_the_question_names_each_site_that_the_two_do_not_share() -> None:
    found = overlaps(signers("abcz"), [earlier("abcd", "north")])
    text = question("all", found)

    assert found[0].disclosed == ("d", "z")
    assert "Cell all overlaps cell north of plan abababababab" in text
    assert "Any single one of these sites may be disclosed" in text
    assert "since sums that this site cannot see may be known to others: d, z." in text


def test_a_site_that_has_left_is_named_though_it_is_not_asked() -> None:
    assert overlaps(signers("abd"), [earlier("abdz")])[0].disclosed == ("z",)


def test_a_yes_counts_for_the_two_rosters_that_it_was_given_for() -> None:
    first, second = earlier("abcd"), earlier("abcf")
    agreed = frozenset({agreement(signers("abce"), first)})

    assert not overlaps(signers("abce"), [first], agreed)
    assert [found.earlier for found in overlaps(signers("abce"), [first, second], agreed)] == [second]
    assert overlaps(signers("abcg"), [first], agreed)


def test_rosters_of_one_set_of_keys_are_one_question() -> None:
    assert len(overlaps(signers("abce"), [earlier("abcd")] * 5)) == 1


def waiting() -> tuple[Site, RosterCame]:
    cell = sites("abcd")
    before = {site.own.name: site.own.fingerprint for site in cell[:3]} | {
        "d": member("d", "old").fingerprint
    }
    roster = tuple(site.ready() for site in cell)
    return cell[0], RosterCame(roster, (EarlierRoster("ab" * 32, "all", before),))


def test_a_site_accepts_nothing_while_a_person_is_asked() -> None:
    a, came = waiting()
    (asked,) = a.take(came)

    assert isinstance(asked, AskPerson)
    assert asked.overlaps[0].disclosed == ("d",)
    assert a.state.phase is SumPhase.READY
    assert not a.state.history.commitments


def test_the_same_roster_is_accepted_once_a_person_has_agreed() -> None:
    a, came = waiting()
    (asked,) = a.take(came)
    agreed = frozenset({agreement(asked.signers, overlap.earlier) for overlap in asked.overlaps})

    assert isinstance(a.take(RosterCame(came.statements, came.earlier, agreed))[-1], WriteMasked)
