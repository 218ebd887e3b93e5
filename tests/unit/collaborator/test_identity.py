from datetime import timedelta

import pytest
from tests.parties import DAY, NOW
from tests.unit.collaborator.aggregators import Site

from hanse.errors import CredentialError
from hanse.pki.credentials import Credentials

LATE = NOW + 0.8 * DAY


def test_a_certificate_with_time_left_is_not_renewed(site: Site, run) -> None:
    run(site.context().identity.renew_if_due(site.upstream))

    assert site.upstream.renewed == 0


def test_a_certificate_says_when_it_is_to_be_renewed(site: Site) -> None:
    identity = site.context().identity

    assert identity.renewal_due_s() == pytest.approx(0.67 * DAY.total_seconds(), rel=0.01)
    site.clock = lambda: LATE
    assert site.context().identity.renewal_due_s() == 0


def test_a_certificate_near_its_end_is_renewed_for_a_new_key_and_shown(site: Site, run) -> None:
    site.clock = lambda: LATE
    identity = site.context().identity

    run(identity.renew_if_due(site.upstream))

    assert identity.credentials.not_after >= NOW + DAY
    assert identity.credentials.key.public_key() != site.credentials.key.public_key()
    assert site.shown == [identity.credentials]
    assert Credentials.load(site.directory / "pki", LATE).certificate == identity.credentials.certificate


def test_a_renewed_certificate_is_left_alone(site: Site, run) -> None:
    times = [LATE, LATE, NOW + timedelta(hours=1)]
    site.clock = lambda: times.pop(0)
    identity = site.context().identity

    run(identity.renew_if_due(site.upstream))
    run(identity.renew_if_due(site.upstream))

    assert site.upstream.renewed == 1


def test_a_site_that_was_removed_gets_no_certificate(site: Site, run) -> None:
    site.clock = lambda: LATE
    site.upstream.fail("renew", CredentialError("hospital-a was removed"))
    identity = site.context().identity

    with pytest.raises(CredentialError, match="removed"):
        run(identity.renew_if_due(site.upstream))
    assert identity.credentials.certificate == site.credentials.certificate
