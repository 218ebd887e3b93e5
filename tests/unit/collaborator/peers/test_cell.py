"""The cell of a site in a plan: refused, or told to people of the site in sentences."""

from __future__ import annotations

import hashlib

import pytest
from tests.unit.core.plan.plans import plan
from tests.unit.core.plan.privacy.secure_plans import secure_plan

from hanse.collaborator.peers.cell import cell_refusal, cell_sentences, own_cell
from hanse.config.settings import SiteSettings
from hanse.errors import ConfigError

FOUR, THREE = {"all": ["a", "b", "c", "d"]}, {"all": ["a", "b", "c"]}


def site(*checked: str, name: str = "a", **settings: object) -> SiteSettings:
    peers = {peer: hashlib.sha256(peer.encode()).hexdigest() for peer in checked}
    return SiteSettings.model_validate(
        {
            "name": name,
            "federation": "north",
            "aggregator": "https://localhost:1",
            "secure_aggregation": {"peers": peers} | settings,
        }
    )


def refused(settings: SiteSettings, **changes: object) -> list[str]:
    refusal = cell_refusal(settings, secure_plan(**changes))
    return [] if refusal is None else [refusal.reason]


def told(settings: SiteSettings, **changes: object) -> str:
    return "\n".join(cell_sentences(settings, secure_plan(**changes)))


def test_a_cell_with_one_more_checked_peer_than_may_collude_is_accepted() -> None:
    assert refused(site("b", "c")) == []


@pytest.mark.parametrize("checked", [(), ("b",), ("b", "a"), ("b", "x")])
def test_fewer_checked_peers_are_refused_and_own_name_and_strangers_do_not_count(
    checked: tuple[str, ...],
) -> None:
    (reason,) = refused(site(*checked))

    assert "have to check the signing keys of 2 other members of cell all first" in reason


def test_the_reason_does_not_say_which_peers_are_checked_since_it_leaves_the_site_and_the_mend_does() -> None:
    assert refused(site("c")) == refused(site()) == refused(site("b"))

    refusal = cell_refusal(site("b"), secure_plan())
    assert refusal is not None
    assert refusal.mend.startswith("Checked: b; not checked: c and d. Check peers by")


def test_the_larger_number_of_colluders_counts() -> None:
    five = {"all": ["a", "b", "c", "d", "e"]}

    assert "of 3 other members" in refused(site("b", "c", colluders=2), cells=five)[0]
    assert "of 3 other members" in refused(site("b", "c"), cells=five, section={"colluders": 2})[0]
    assert refused(site("b", "c", "d", colluders=2), cells=five, section={"colluders": 2}) == []


def test_more_colluders_in_earlier_sums_over_the_same_data_count_too() -> None:
    wanted = secure_plan(cells={"all": ["a", "b", "c", "d", "e"]})

    assert cell_refusal(site("b", "c"), wanted, earlier=1) is None
    refusal = cell_refusal(site("b", "c"), wanted, earlier=2)
    assert refusal is not None
    assert "of 3 other members" in refusal.reason


@pytest.mark.parametrize("settings", [{"minimum": 4}, {"colluders": 2}])
def test_a_cell_that_is_too_small_for_this_site_is_refused(settings: dict[str, int]) -> None:
    alike = {"examples": {"least": 200, "most": 200}}
    (reason,) = refused(site("b", "c", **settings), cells=THREE, section=alike)

    assert reason.startswith("cell all has 3 members; this site takes part in cells of 4 or more")


def test_a_site_that_is_in_no_cell_takes_no_part() -> None:
    assert "in none of its cells" in refused(site("b", "c", name="z"))[0]
    assert told(site("b", "c", name="z")) == "z is in no cell of this plan, and takes no part in it."


def test_with_trust_on_first_use_nothing_need_be_checked_but_the_cell_has_to_be_large_enough() -> None:
    assert refused(site(trust_on_first_use=True)) == []
    assert refused(site(trust_on_first_use=True, minimum=5)) != []


def test_a_plan_without_secure_aggregation_says_and_refuses_nothing() -> None:
    assert own_cell(site(), plan()) is None
    assert cell_refusal(site(), plan()) is None
    assert list(cell_sentences(site(), plan())) == []


def test_people_read_who_is_checked_and_who_is_not_and_what_follows() -> None:
    text = told(site("b", "c", "d"), cells={"all": ["a", "b", "c", "d", "e"]})

    assert text.splitlines() == [
        "Masked results of this site are disclosed in the sum over cell all only, with those of b, c, d "
        "and e.",
        "People of this site have checked the signing keys of b, c and d.",
        "They have not checked e: the operator of the aggregator could be any of these. Check them by "
        "`hanse collaborator trust NAME`.",
        "So it is hidden among at least 3 sites if at most 1 of the checked ones help the operator of the "
        "aggregator. The party that hosts the aggregator counts as one that helps. Two sites of one "
        "institution count as one: if two of the checked ones are, subtract one.",
    ]


def test_people_read_that_the_operator_could_be_all_others_where_nobody_was_checked() -> None:
    assert "the operator of the aggregator could be all other members, and would then learn" in told(
        site("b", trust_on_first_use=True)
    )


def test_people_read_how_many_peers_are_missing() -> None:
    assert "This site takes no part: 2 peers of the cell have to be checked (c = 1), and 1 is." in told(
        site("b")
    )


def test_a_peer_whose_words_are_wrong_is_named_and_not_left_out() -> None:
    settings = site()
    peers = settings.secure_aggregation.model_copy(update={"peers": {"b": "no such words"}})

    with pytest.raises(ConfigError, match="peers: b`"):
        cell_refusal(settings.model_copy(update={"secure_aggregation": peers}), secure_plan())
