"""Records of what a site's part in a sum has done, as the site's journal has them."""

from __future__ import annotations

from hanse.core.journal.sum_records import ReadyReleased, RosterAccepted
from hanse.core.values.sums.ready import ReadyBody
from hanse.privacy.secagg.site import SumPlan
from hanse.privacy.secagg.site_steps import RecordRoster


def ready_record(body: ReadyBody, plan_digest: str) -> ReadyReleased:
    """The record of a READY that is about to leave."""
    return ReadyReleased(
        run_id=body.run_id,
        plan_digest=plan_digest,
        exchange=body.exchange,
        attempt=body.attempt,
        public=body.public,
        context=body.context,
        commitment=body.commitment,
    )


def roster_record(accepted: RecordRoster, plan: SumPlan, plan_digest: str) -> RosterAccepted:
    """The record of a roster that was checked and passed."""
    return RosterAccepted(
        run_id=plan.run_id,
        plan_digest=plan_digest,
        exchange=plan.exchange,
        attempt=accepted.attempt,
        rho=accepted.rho,
        signers=dict(accepted.signers),
        commitments=dict(accepted.commitments),
        checked=accepted.checked,
    )
