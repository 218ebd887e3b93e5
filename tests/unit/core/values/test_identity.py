"""Names of parties, and the URIs in their certificates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.values.identity import Party, Role, check_name
from hanse.errors import ConfigError

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?", fullmatch=True)


@pytest.mark.parametrize("name", ["a", "7", "long-beach", "site_3.hospital", "a" * 63])
def test_a_good_name_is_kept(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "A", "zürich", "-a", "a-", ".", "..", "a..b", "a/b", "a b", "a\n", "a" * 64, "a\0"]
)
def test_a_name_that_is_not_safe_as_a_folder_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is not a valid name"):
        check_name(name)


def test_a_very_long_name_does_not_flood_the_message() -> None:
    with pytest.raises(ConfigError) as refused:
        check_name("x" * 10_000)

    assert len(str(refused.value)) < 300


def test_a_party_is_named_by_a_uri() -> None:
    assert Party("hearts", Role.COLLABORATOR, "cleveland").uri == "hanse://hearts/collaborator/cleveland"


@given(NAMES, st.sampled_from(Role), NAMES)
def test_a_party_reads_back_from_its_uri(federation: str, role: Role, name: str) -> None:
    party = Party(federation, role, name)

    assert Party.from_uri(party.uri) == party


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://hearts/collaborator/cleveland",
        "hearts/collaborator/cleveland",
        "hanse://hearts/collaborator",
        "hanse://hearts/collaborator/cleveland/x",
        "hanse://hearts/root/cleveland",
        "hanse://hearts/collaborator/",
        "hanse://hearts/collaborator/Cleveland",
        "hanse://../collaborator/cleveland",
        "hanse://hearts/collaborator/cleveland\n",
    ],
)
def test_a_uri_that_names_no_party_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError):
        Party.from_uri(uri)
