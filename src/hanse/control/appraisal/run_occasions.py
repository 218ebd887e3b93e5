"""Occasions of evidence in a run, and words on instances, as both parties of an exchange state them."""

from __future__ import annotations

from dataclasses import dataclass

from hanse.attestation.instance import Occasion
from hanse.core.values.identity import Party, Role
from hanse.wire.messages.evidence import Introduction, Shown


@dataclass(frozen=True, slots=True)
class RunOccasions:
    """A run in which evidence is shown; what the parties state differs by nothing else than the party.

    Attributes:
        run_id: The run.
        plan_digest: Its plan.
        roster: Digest of its roster.
    """

    run_id: str
    plan_digest: str
    roster: str

    def occasion(
        self, of: tuple[Party, str], verifier: str, nonce: str, policy: str, *, rehearsal: bool
    ) -> Occasion:
        """Occasion of evidence of a party.

        Args:
            of: The party that shows it, and the fingerprint of the key that it is known by.
            verifier: Fingerprint of the key of the party that asked.
            nonce: The nonce of the latter.
            policy: Digest of the policy that the evidence is held against.
            rehearsal: Whether software may play the device.
        """
        party, signer = of
        return Occasion(
            purpose="run",
            verifier=verifier,
            nonce=nonce,
            federation=party.federation,
            role="aggregator" if party.role is Role.AGGREGATOR else "collaborator",
            name=party.name,
            signer=signer,
            run=self.run_id,
            plan=self.plan_digest,
            roster=self.roster,
            policy=policy,
            rehearsal=rehearsal,
        )

    def introduction(self, party: Party, nonce: str, shown: Shown) -> Introduction:
        """A party's word on its instance, in reply to a nonce."""
        return Introduction(
            federation=party.federation,
            role="aggregator" if party.role is Role.AGGREGATOR else "collaborator",
            name=party.name,
            run_id=self.run_id,
            plan_digest=self.plan_digest,
            nonce=nonce,
            roster=self.roster,
            seal=shown.seal,
            speak=shown.speak,
            evidence=shown.evidence_digest,
        )
