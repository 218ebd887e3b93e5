"""Plans with secure aggregation as a manifest has them."""

from tests.unit.core.plan.privacy.secure_plans import secure_plan

from hanse.core.plan.manifest import CodeFile, Manifest


def test_a_manifest_reads_back_from_its_bytes() -> None:
    section = {
        "model": {"clip": 1.0, "integers": [0, 5]},
        "metrics": {"loss": {"range": [0, 20], "optional": True}},
        "in_the_open": ["evaluate"],
    }
    tasks = {
        "train": {
            "discloses": {"update": "aggregate", "aggregated_by": "secure_aggregation", "metrics": ["loss"]}
        },
        "evaluate": {"discloses": {"metrics": ["auc"]}},
    }
    files = (CodeFile(path="model.py", sha256="0" * 64, size=1),)
    agreed = Manifest(plan=secure_plan(section, tasks=tasks), files=files)

    assert Manifest.from_bytes(agreed.to_bytes(), agreed.digest) == agreed
