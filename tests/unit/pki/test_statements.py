from datetime import timedelta
from pathlib import Path

import pytest
from tests.parties import NOW, enrolled, new_authority, signing_key
from tests.unit.collaborator.aggregators import Site, joined

from hanse.core.values.identity import Role
from hanse.core.values.statements import CertifiedStatement, SignedStatement
from hanse.errors import CredentialError, ProtocolError, TrustError
from hanse.pki.authority import Authority
from hanse.pki.credentials import Credentials
from hanse.pki.signatures import sign
from hanse.pki.signing_key import SigningKey
from hanse.pki.statements import check_certified, check_signed, issued, state
from hanse.wire.messages.sites import PLAN_ANSWER, PLAN_ANSWER_1, TASK_RESULT, PlanAnswer, TaskOutcome

BODY = PlanAnswer(federation="north", site="hospital-a", plan_digest="0" * 64, accepted=True, decided_ms=1)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


@pytest.fixture
def site(tmp_path: Path, authority: Authority) -> Site:
    return joined(tmp_path, authority)


@pytest.fixture
def key(site: Site) -> SigningKey:
    return signing_key(site.credentials)


def check(site: Site, statement: SignedStatement, *keys: SigningKey) -> PlanAnswer:
    """Check that the site answered the plan so, with one of these keys."""
    prints = [key.fingerprint for key in keys or (signing_key(site.credentials),)]
    return check_signed(statement, PlanAnswer, PLAN_ANSWER, by=site.credentials.party, keys=prints)


def test_a_statement_of_a_party_gives_its_body(site: Site, key: SigningKey) -> None:
    assert check(site, state(key, PLAN_ANSWER, BODY)) == BODY


def test_a_statement_that_was_signed_with_another_key_is_refused(site: Site) -> None:
    other = SigningKey.create()

    with pytest.raises(TrustError, match=rf"hospital-a was signed with key {other.fingerprint[:16]}, and"):
        check(site, state(other, PLAN_ANSWER, BODY))


def test_a_statement_that_was_signed_with_an_earlier_key_counts_where_that_is_known(
    site: Site, key: SigningKey
) -> None:
    earlier = SigningKey.create()

    assert check(site, state(earlier, PLAN_ANSWER, BODY), key, earlier) == BODY


@pytest.mark.parametrize("change", [{"site": "hospital-b"}, {"federation": "south"}])
def test_a_statement_that_speaks_of_another_party_is_refused(
    site: Site, key: SigningKey, change: dict[str, str]
) -> None:
    body = BODY.model_copy(update=change)

    with pytest.raises(TrustError, match=f"speaks of .*{next(iter(change.values()))}"):
        check(site, state(key, PLAN_ANSWER, body))


def test_a_statement_that_was_altered_is_refused(site: Site, key: SigningKey) -> None:
    statement = state(key, PLAN_ANSWER, BODY)
    altered = statement.model_copy(update={"body": statement.body | {"accepted": False}})

    with pytest.raises(TrustError, match="altered"):
        check(site, altered)


def test_an_answer_cannot_pass_for_a_result(site: Site, key: SigningKey) -> None:
    statement = state(key, PLAN_ANSWER, BODY)

    with pytest.raises(TrustError, match="altered"):
        check_signed(statement, TaskOutcome, TASK_RESULT, by=site.credentials.party, keys=[key.fingerprint])


def test_a_signed_body_that_is_malformed_is_refused(site: Site, key: SigningKey) -> None:
    with pytest.raises(ProtocolError, match="malformed PlanAnswer"):
        check(site, key.sign(PLAN_ANSWER, {"site": "hospital-a"}))


class TestStatementsOfBefore:
    """Statements of 0.1, signed with the key of a certificate."""

    def certified(self, credentials: Credentials, body: PlanAnswer = BODY) -> CertifiedStatement:
        stated = body.model_dump(mode="json", exclude={"signer"})
        return CertifiedStatement(body=stated, **sign(credentials, PLAN_ANSWER_1, stated).model_dump())

    def check(self, site: Site, statement: CertifiedStatement, at=NOW, authority=None) -> PlanAnswer:
        own = site.credentials
        authority = own.authority if authority is None else authority.certificate
        return check_certified(statement, PlanAnswer, PLAN_ANSWER_1, by=own.party, authority=authority, at=at)

    def test_a_statement_of_a_party_gives_its_body(self, site: Site) -> None:
        assert self.check(site, self.certified(site.credentials)) == BODY

    def test_a_statement_that_another_party_signed_is_refused(
        self, site: Site, authority: Authority, tmp_path: Path
    ) -> None:
        other = enrolled(authority, tmp_path, "hospital-b")

        with pytest.raises(TrustError, match=r"of \S+/hospital-a was signed by \S+/hospital-b"):
            self.check(site, self.certified(other))

    def test_a_statement_that_speaks_of_another_party_is_refused(self, site: Site) -> None:
        body = BODY.model_copy(update={"site": "hospital-b"})

        with pytest.raises(TrustError, match=r"speaks of \S+/hospital-b"):
            self.check(site, self.certified(site.credentials, body))

    def test_a_statement_of_a_party_with_the_same_name_and_another_role_is_refused(
        self, site: Site, authority: Authority, tmp_path: Path
    ) -> None:
        operator = enrolled(authority, tmp_path / "operator", "hospital-a", Role.OPERATOR)

        with pytest.raises(TrustError, match="signed by hanse://north/operator/hospital-a"):
            self.check(site, self.certified(operator))

    def test_a_statement_from_after_the_certificates_end_is_refused(self, site: Site) -> None:
        late = site.credentials.not_after + timedelta(seconds=1)

        with pytest.raises(CredentialError):
            self.check(site, self.certified(site.credentials), at=late)

    def test_a_statement_under_another_authority_is_refused(self, site: Site) -> None:
        with pytest.raises(CredentialError):
            self.check(site, self.certified(site.credentials), authority=new_authority())

    def test_a_statement_whose_certificate_has_run_out_counts_as_of_the_time_it_was_issued(
        self, site: Site, authority: Authority, tmp_path: Path
    ) -> None:
        old = enrolled(authority, tmp_path / "old", since=NOW - timedelta(days=9))
        statement = self.certified(old)

        assert self.check(site, statement, at=issued(statement, authority.certificate)) == BODY
