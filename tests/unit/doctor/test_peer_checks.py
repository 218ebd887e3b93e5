"""What the doctor says of a site's peers: whose keys are checked, whose not, and where too few are."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tests.unit.core.plan.privacy.secure_plans import secure_plan

from hanse.collaborator.peers.standing import peers_here
from hanse.collaborator.plan_store import PlanStore
from hanse.config.settings import SiteSettings, load_site
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.doctor.checks import Finding, Grade
from hanse.doctor.peer_checks import check_cells, check_peer_entries, of_federation
from hanse.pki.key_words import words_of
from hanse.wire.messages.members import PeerKey

KEYS = {name: hashlib.sha256(name.encode()).hexdigest() for name in "abcd"}


def site(tmp_path: Path, *lines: str) -> SiteSettings:
    """Settings of site a with these lines in its section."""
    section = ["secure_aggregation:", *(f"  {line}" for line in lines)] if lines else []
    text = ["name: a", "federation: north", "aggregator: https://localhost:1", *section, ""]
    (tmp_path / "site.yaml").write_text("\n".join(text))
    return load_site(tmp_path)


def peers(*names: str) -> list[str]:
    return ["peers:", *(f"  {name}: {KEYS[name]}" for name in names)]


def entries(tmp_path: Path, *lines: str) -> list[Finding]:
    return list(check_peer_entries(tmp_path, site(tmp_path, *lines)))


def test_good_peers_in_digits_and_words_are_no_finding(tmp_path: Path) -> None:
    assert entries(tmp_path, *peers("b"), f"  c: {words_of(KEYS['c'])}") == []


def test_words_that_are_wrong_are_named_with_their_line(tmp_path: Path) -> None:
    (finding,) = entries(tmp_path, *peers("b"), "  c: " + words_of(KEYS["c"]).replace(" ", " x ", 1))

    assert finding.grade is Grade.FAIL
    assert finding.detail.startswith(f"{tmp_path / 'site.yaml'}:7: secure_aggregation.peers.c: ")
    assert finding.detail.endswith("is not the fingerprint of a signing key; 13 words, and 12 are needed")


def test_the_site_itself_among_its_peers_is_remarked_on(tmp_path: Path) -> None:
    (finding,) = entries(tmp_path, *peers("a", "b"))

    assert (finding.grade, finding.detail.rpartition(": ")[2]) == (
        Grade.WARN,
        "this site itself does not count",
    )


@pytest.fixture
def plans(tmp_path: Path) -> Path:
    """The `plans` folder of a site that has seen a plan with a cell of a, b, c and d, and a damaged one."""
    manifest = Manifest(plan=secure_plan(), files=(CodeFile(path="model.py", sha256="0" * 64, size=1),))
    PlanStore(tmp_path / "plans").keep(manifest)
    (tmp_path / "plans" / ("0" * 64)).mkdir()
    (tmp_path / "plans" / ("0" * 64) / "manifest.json").write_text("{}")
    return tmp_path / "plans"


def test_of_each_cell_it_is_said_who_is_checked_and_that_the_host_counts(tmp_path: Path, plans: Path) -> None:
    (finding,) = check_cells(site(tmp_path, *peers("b", "c")), plans)

    assert finding.grade is Grade.OK
    assert finding.detail.startswith("cell all of plan hearts (")
    assert finding.detail.endswith(
        "): checked b and c; not checked d; c = 1, and the party that hosts the aggregator counts as one "
        "that colludes"
    )


@pytest.mark.parametrize("lines", [["minimum: 3"], peers("b"), [*peers("b"), "trust_on_first_use: true"]])
def test_a_cell_with_too_few_checked_peers_is_warned_of(
    tmp_path: Path, plans: Path, lines: list[str]
) -> None:
    (finding,) = check_cells(site(tmp_path, *lines), plans)

    assert finding.grade is Grade.WARN
    assert finding.mend.startswith("It takes 2 checked peers.")
    assert ("could be all the others" in finding.detail) == ("trust_on_first_use: true" in lines)


def federation(settings: SiteSettings, **changed: str) -> list[Finding]:
    stated = [PeerKey(name=name, signing_key=key) for name, key in (KEYS | changed).items()]
    return list(of_federation(settings, peers_here(settings, KEYS["a"], stated)))


def test_of_the_federation_it_is_said_who_is_checked_and_who_is_not(tmp_path: Path) -> None:
    (finding,) = federation(site(tmp_path, *peers("b", "c")))

    assert finding.grade is Grade.OK
    assert finding.detail.startswith("in the federation: checked b and c; not checked d; ")


def test_a_single_checked_peer_is_warned_of_and_none_is_not_since_nothing_may_need_them(
    tmp_path: Path,
) -> None:
    assert [finding.grade for finding in federation(site(tmp_path, *peers("b")))] == [Grade.WARN]
    assert [finding.grade for finding in federation(site(tmp_path))] == [Grade.OK]


def test_another_key_than_the_checked_one_is_a_failure(tmp_path: Path) -> None:
    failure, _ = federation(site(tmp_path, *peers("b", "c", "d")), b=KEYS["b"][::-1])

    assert failure.grade is Grade.FAIL
    assert "states another signing key of b than site.yaml has" in failure.detail


def test_a_peer_that_the_federation_does_not_have_is_warned_of(tmp_path: Path) -> None:
    warning, _ = federation(site(tmp_path, *peers("b", "c"), f"  z: {KEYS['d']}"))

    assert warning.grade is Grade.WARN
    assert warning.mend.endswith("`hanse collaborator trust z --remove`.")
