from datetime import timedelta
from pathlib import Path

import pytest
from tests.parties import NOW, enrolled, new_authority
from tests.unit.collaborator.aggregators import Site, joined

from hanse.core.values.identity import Role
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import CredentialError, ProtocolError, TrustError
from hanse.pki.authority import Authority
from hanse.pki.certificates import pem_of
from hanse.pki.signatures import sign
from hanse.pki.statements import check_statement, restate, state
from hanse.wire.messages.sites import PLAN_ANSWER, TASK_RESULT, PlanAnswer, TaskOutcome

BODY = PlanAnswer(federation="north", site="hospital-a", plan_digest="0" * 64, accepted=True, decided_ms=1)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


@pytest.fixture
def site(tmp_path: Path, authority: Authority) -> Site:
    return joined(tmp_path, authority)


def check(site: Site, statement: CertifiedStatement) -> PlanAnswer:
    """Check that the site answered the plan so."""
    own = site.credentials
    return check_statement(statement, PlanAnswer, PLAN_ANSWER, by=own.party, authority=own.authority, at=NOW)


def test_a_statement_of_a_party_gives_its_body(site: Site) -> None:
    assert check(site, state(site.credentials, PLAN_ANSWER, BODY)) == BODY


def test_a_statement_that_another_party_signed_is_refused(
    site: Site, authority: Authority, tmp_path: Path
) -> None:
    other = enrolled(authority, tmp_path, "hospital-b")

    with pytest.raises(TrustError, match=r"of \S+/hospital-a speaks of .* signed by \S+/hospital-b"):
        check(site, state(other, PLAN_ANSWER, BODY))


@pytest.mark.parametrize("change", [{"site": "hospital-b"}, {"federation": "south"}])
def test_a_statement_that_speaks_of_another_party_is_refused(site: Site, change: dict[str, str]) -> None:
    body = BODY.model_copy(update=change)

    with pytest.raises(TrustError, match=f"speaks of .*{next(iter(change.values()))}"):
        check(site, state(site.credentials, PLAN_ANSWER, body))


def test_a_statement_of_a_party_with_the_same_name_and_another_role_is_refused(
    site: Site, authority: Authority, tmp_path: Path
) -> None:
    operator = enrolled(authority, tmp_path / "operator", "hospital-a", Role.OPERATOR)

    with pytest.raises(TrustError, match="signed by hanse://north/operator/hospital-a"):
        check(site, state(operator, PLAN_ANSWER, BODY))


def test_a_statement_that_was_altered_is_refused(site: Site) -> None:
    statement = state(site.credentials, PLAN_ANSWER, BODY)
    altered = statement.model_copy(update={"body": statement.body | {"accepted": False}})

    with pytest.raises(TrustError, match="altered"):
        check(site, altered)


def test_an_answer_cannot_pass_for_a_result(site: Site) -> None:
    statement, own = state(site.credentials, PLAN_ANSWER, BODY), site.credentials

    with pytest.raises(TrustError, match="altered"):
        check_statement(statement, TaskOutcome, TASK_RESULT, by=own.party, authority=own.authority, at=NOW)


def test_a_signed_body_that_is_malformed_is_refused(site: Site) -> None:
    signature = sign(site.credentials, PLAN_ANSWER, {"site": "hospital-a"})
    statement = CertifiedStatement(body={"site": "hospital-a"}, **signature.model_dump())

    with pytest.raises(ProtocolError, match="malformed PlanAnswer"):
        check(site, statement)


def test_a_statement_from_after_the_certificates_end_is_refused(site: Site) -> None:
    own = site.credentials
    late = own.not_after + timedelta(seconds=1)

    with pytest.raises(CredentialError):
        check_statement(
            state(own, PLAN_ANSWER, BODY),
            PlanAnswer,
            PLAN_ANSWER,
            by=own.party,
            authority=own.authority,
            at=late,
        )


def test_a_statement_under_another_authority_is_refused(site: Site) -> None:
    own, other = site.credentials, new_authority()

    with pytest.raises(CredentialError):
        check_statement(
            state(own, PLAN_ANSWER, BODY),
            PlanAnswer,
            PLAN_ANSWER,
            by=own.party,
            authority=other.certificate,
            at=NOW,
        )


def test_a_kept_statement_is_signed_anew_only_once_the_certificate_was_renewed(
    site: Site, authority: Authority, tmp_path: Path
) -> None:
    statement = state(site.credentials, PLAN_ANSWER, BODY)
    renewed = enrolled(authority, tmp_path)

    assert restate(site.credentials, PLAN_ANSWER, statement) is statement
    anew = restate(renewed, PLAN_ANSWER, statement)
    assert (anew.body, anew.certificate) == (statement.body, pem_of(renewed.certificate))
    assert check_statement(
        anew, PlanAnswer, PLAN_ANSWER, by=renewed.party, authority=renewed.authority, at=NOW
    )
