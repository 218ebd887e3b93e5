from pathlib import Path

import pytest
from tests.parties import NOW, enrolled, new_authority
from tests.unit.collaborator.aggregators import Site, joined

from hanse.errors import TrustError
from hanse.pki.authority import Authority
from hanse.pki.certificates import pem_of
from hanse.pki.statements import check_own, restate, state
from hanse.wire.messages.sites import PLAN_ANSWER, TASK_RESULT, PlanAnswer

BODY = PlanAnswer(federation="north", site="hospital-a", plan_digest="0" * 64, accepted=True, decided_ms=1)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


@pytest.fixture
def site(tmp_path: Path, authority: Authority) -> Site:
    return joined(tmp_path, authority)


def test_a_statement_of_this_site_is_its_own(site: Site) -> None:
    check_own(site.credentials, PLAN_ANSWER, state(site.credentials, PLAN_ANSWER, BODY), NOW)


def test_a_statement_of_another_site_is_not(site: Site, authority: Authority, tmp_path: Path) -> None:
    other = enrolled(authority, tmp_path, "hospital-b")

    with pytest.raises(TrustError, match=r"signed by .*hospital-b, not by .*hospital-a"):
        check_own(site.credentials, PLAN_ANSWER, state(other, PLAN_ANSWER, BODY), NOW)


def test_a_statement_that_was_altered_is_not(site: Site) -> None:
    statement = state(site.credentials, PLAN_ANSWER, BODY)
    altered = statement.model_copy(update={"body": statement.body | {"accepted": False}})

    with pytest.raises(TrustError, match="altered"):
        check_own(site.credentials, PLAN_ANSWER, altered, NOW)


def test_an_answer_cannot_pass_for_a_result(site: Site) -> None:
    with pytest.raises(TrustError):
        check_own(site.credentials, TASK_RESULT, state(site.credentials, PLAN_ANSWER, BODY), NOW)


def test_a_kept_statement_is_signed_anew_only_once_the_certificate_was_renewed(
    site: Site, authority: Authority, tmp_path: Path
) -> None:
    statement = state(site.credentials, PLAN_ANSWER, BODY)
    renewed = enrolled(authority, tmp_path)

    assert restate(site.credentials, PLAN_ANSWER, statement) is statement
    anew = restate(renewed, PLAN_ANSWER, statement)
    assert (anew.body, anew.certificate) == (statement.body, pem_of(renewed.certificate))
    check_own(renewed, PLAN_ANSWER, anew, NOW)
