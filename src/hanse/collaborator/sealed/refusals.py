"""Settings of a site that rule sealed plans out."""

from __future__ import annotations

from collections.abc import Iterator

from hanse.config.settings import SiteSettings
from hanse.core.plan.plan import Plan


def sealed_refusals(settings: SiteSettings, plan: Plan) -> Iterator[str]:
    """Reasons in this site's settings against a plan whose model is sealed; none against any other plan."""
    if plan.sealed is None:
        return
    ruled_out = {
        "`sealed_memory`": settings.sealed_memory is None,
        "`sandbox: required`": settings.sandbox != "required",
        "`worker: {network: false}`": settings.worker.network,
        "`policy: {discloses: {failures: kind}}`, or `message`": settings.policy.discloses.failures == "log",
    }
    for needed, against in ruled_out.items():
        if against:
            yield f"the plan's model is sealed, which needs {needed} in site.yaml"
