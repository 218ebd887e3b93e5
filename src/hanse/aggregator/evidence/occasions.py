"""Occasions of evidence between the aggregator and a site of a run."""

from __future__ import annotations

from dataclasses import dataclass

from hanse.attestation.instance import Occasion
from hanse.control.appraisal.run_occasions import RunOccasions
from hanse.core.run.run import Run
from hanse.core.values.identity import Party, Role
from hanse.errors import EvidenceError, TrustError
from hanse.pki.credentials import Credentials
from hanse.pki.introductions import check_site, key_fingerprint
from hanse.wire.messages.evidence import AttestRequest, Introduction, Shown


@dataclass(frozen=True, slots=True)
class Parties:
    """The two parties of an exchange of evidence, and the run that it is for.

    Attributes:
        run: The run.
        site: The site.
        credentials: The aggregator's.
        roster: Digest of the roster of the run.
    """

    run: Run
    site: str
    credentials: Credentials
    roster: str

    def of_aggregator(self, nonce: str, policy: str) -> Occasion:
        """Occasion of evidence of the aggregator, by the site's nonce."""
        own = self.credentials.party, key_fingerprint(self.credentials.certificate)
        them, rehearsal = self.run.roster[self.site], _rehearsal(self.run)
        return self._occasions.occasion(own, them, nonce, policy, rehearsal=rehearsal)

    def of_site(self, nonce: str, policy: str) -> Occasion:
        """Occasion of evidence of the site, by the aggregator's nonce."""
        party = Party(self.credentials.party.federation, Role.COLLABORATOR, self.site)
        own, them = key_fingerprint(self.credentials.certificate), (party, self.run.roster[self.site])
        return self._occasions.occasion(them, own, nonce, policy, rehearsal=_rehearsal(self.run))

    def introduction(self, nonce: str, shown: Shown) -> Introduction:
        """The aggregator's word on its instance."""
        return self._occasions.introduction(self.credentials.party, nonce, shown)

    @property
    def _occasions(self) -> RunOccasions:
        return RunOccasions(self.run.run_id, self.run.plan_digest, self.roster)


def check_introduced(run: Run, site: str, occasion: Occasion, request: AttestRequest, shown: Shown) -> None:
    """Check that evidence is for the run that asked, and signed by the site whose key the run knows.

    Raises:
        EvidenceError: It is for another run, or the site has another key now.
        TrustError: The site has not signed it, or has signed something else.
    """
    if occasion.run != request.run_id or occasion.signer != run.roster[site]:
        raise EvidenceError(
            f"nonce {occasion.nonce[:12]}: it was given to {site} in run {occasion.run}, or to another key"
        )
    if request.signed is None:
        raise TrustError(f"{site} has not signed what it shows")
    party = Party(occasion.federation, Role.COLLABORATOR, site)
    occasions = RunOccasions(run.run_id, run.plan_digest, occasion.roster)
    expected = occasions.introduction(party, occasion.nonce, shown)
    check_site(request.signed, expected, occasion.signer)


def _rehearsal(run: Run) -> bool:
    return run.plan.attestation is not None and run.plan.attestation.rehearsal
