"""The section of a plan as its author writes it, and as a manifest has it."""

import pytest
from tests.unit.core.plan.privacy.secure_plans import secure_plan

from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.privacy.secure_aggregation import MetricRange, SecureAggregation


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("[0, 20]", MetricRange(range=(0, 20))),
        ('{"range": [0, 1]}', MetricRange(range=(0, 1))),
        ('{"range": [0, 1], "optional": true}', MetricRange(range=(0, 1), optional=True)),
    ],
)
def test_a_metric_has_a_range_and_may_be_optional(written: str, read: MetricRange) -> None:
    section = SecureAggregation.model_validate_json(f'{{"metrics": {{"auc": {written}}}}}', strict=True)

    assert section.metrics == {"auc": read}


def test_a_site_reads_the_section_from_the_manifest_that_the_author_wrote() -> None:
    plan = secure_plan()
    manifest = Manifest(plan=plan, files=(CodeFile(path="model.py", sha256="0" * 64, size=1),))

    assert Manifest.from_bytes(manifest.to_bytes(), manifest.digest).plan == plan
