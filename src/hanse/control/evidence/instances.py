"""Instances of sites by their appraisals: which of them count, and until when."""

from __future__ import annotations

from collections.abc import Iterator

from hanse.control.evidence.audit_rules import LATE_MS
from hanse.control.evidence_report import Appraised


class Instances:
    """Follows the appraisals of sites."""

    def __init__(self) -> None:
        self._accepted: dict[str, Appraised] = {}
        self._last: dict[tuple[str, str], Appraised] = {}
        self._nonces: set[str] = set()
        self._sites: dict[str, str] = {}

    def add(self, found: Appraised) -> Iterator[str]:
        """Take in an appraisal, and say what cannot be of it."""
        claims = found.claims
        if claims.nonce in self._nonces:
            yield "its nonce was used before"
        self._nonces.add(claims.nonce)
        site = self._sites.setdefault(claims.instance, found.party)
        if site != found.party:
            yield f"its keys are those of an instance of {site}"
        if found.verdict.accepted:
            self._accepted[found.party] = found
        self._last[found.party, claims.instance] = found

    def last(self, site: str, instance: str) -> Appraised | None:
        """The last appraisal of an instance of a site; None where there was none."""
        return self._last.get((site, instance))

    def problems(self, site: str, instance: str, time_ms: int, did: str) -> Iterator[str]:
        """Say why an instance does not count.

        It does from its accepted evidence on, until its verdict ends or another instance of the site counts.

        Args:
            site: The site.
            instance: Name of the instance.
            time_ms: The time, milliseconds since 1970.
            did: What the instance did then, for the message.
        """
        found = self.last(site, instance)
        what = f"instance {instance[:12]} of {site} {did}"
        if found is None or not found.verdict.accepted:
            yield f"{what}, and its evidence was {'refused' if found else 'never appraised'}"
        elif self._accepted[site].claims.instance != instance:
            yield f"{what}, and another instance of {site} was accepted since"
        elif time_ms > found.verdict.expires_ms + LATE_MS:
            yield f"{what} after its verdict had ended"
