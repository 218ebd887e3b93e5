"""Occasions of evidence between the aggregator and a site of a run."""

from __future__ import annotations

from dataclasses import dataclass

from hanse.attestation.instance import Occasion
from hanse.core.run.run import Run
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
        own, them = key_fingerprint(self.credentials.certificate), self.run.roster[self.site]
        party = self.credentials.party
        return Occasion(
            purpose="run",
            verifier=them,
            nonce=nonce,
            federation=party.federation,
            role="aggregator",
            name=party.name,
            signer=own,
            run=self.run.run_id,
            plan=self.run.plan_digest,
            roster=self.roster,
            policy=policy,
            rehearsal=_rehearsal(self.run),
        )

    def of_site(self, nonce: str, policy: str) -> Occasion:
        """Occasion of evidence of the site, by the aggregator's nonce."""
        own, them = key_fingerprint(self.credentials.certificate), self.run.roster[self.site]
        return Occasion(
            purpose="run",
            verifier=own,
            nonce=nonce,
            federation=self.credentials.party.federation,
            role="collaborator",
            name=self.site,
            signer=them,
            run=self.run.run_id,
            plan=self.run.plan_digest,
            roster=self.roster,
            policy=policy,
            rehearsal=_rehearsal(self.run),
        )

    def introduction(self, nonce: str, shown: Shown) -> Introduction:
        """The aggregator's word on its instance."""
        party = self.credentials.party
        return Introduction(
            federation=party.federation,
            role="aggregator",
            name=party.name,
            run_id=self.run.run_id,
            plan_digest=self.run.plan_digest,
            nonce=nonce,
            roster=self.roster,
            seal=shown.seal,
            speak=shown.speak,
            evidence=shown.evidence_digest,
        )


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
    expected = Introduction(
        federation=occasion.federation,
        role="collaborator",
        name=site,
        run_id=run.run_id,
        plan_digest=run.plan_digest,
        nonce=occasion.nonce,
        roster=occasion.roster,
        seal=shown.seal,
        speak=shown.speak,
        evidence=shown.evidence_digest,
    )
    check_site(request.signed, expected, occasion.signer)


def _rehearsal(run: Run) -> bool:
    return run.plan.attestation is not None and run.plan.attestation.rehearsal
