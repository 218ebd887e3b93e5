"""Deploys the case: three clinics with folders, keys and X-rays of their own, as processes on this machine.

    python examples/cases/lung_xrays/deploy.py

deals the X-rays to the clinics, runs `plan.yaml` under secure aggregation, verifies the audit, and writes
`deployed-xrays/summary.json` beside the model in `deployed-xrays/results`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import clinics

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from local_federation import Federation, deploy  # noqa: E402
from plan_copy import changed  # noqa: E402

from hanse.assembly.demo import free_directory  # noqa: E402


def main() -> None:
    """Deploy the clinics, and say what came of it."""
    chosen = _arguments()
    root: Path = chosen.directory or free_directory(Path("deployed-xrays"))
    plan = HERE / "plan.yaml"
    if not clinics.SOURCE.is_file():
        sys.exit(f"there is no data: {clinics.SOURCE} is part of the repository; check it out again")
    if root.exists() and any(root.iterdir()):
        sys.exit(f"{root} is not empty: remove it, or name another folder with --directory")
    if chosen.rounds is not None:
        plan = changed(plan, root / "plan", {"rounds": chosen.rounds})
    clinics.write(root / "clinics")
    sites = {name: {"xrays": root / "clinics" / name / "xrays"} for name in clinics.CLINICS}
    for name, sources in sites.items():
        count = len(list(sources["xrays"].rglob("*.png")))
        print(f"{name} has {count} X-rays in {sources['xrays']}")
    federation = Federation("lungs", plan, sites, root, port=chosen.port)
    summary = _summary(deploy(federation))
    (root / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
    _say(root, federation, summary)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Deploy the three clinics as processes on this machine.")
    parser.add_argument("--directory", type=Path, help="a folder to make; unset: deployed-xrays, -2, -3 ...")
    parser.add_argument("--rounds", type=int, help="unset: those of the plan")
    parser.add_argument("--port", type=int, help="port of the aggregator; unset: any that is free")
    chosen = parser.parse_args()
    if chosen.rounds is not None and chosen.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {chosen.rounds}")
    return chosen


def _summary(measured: dict[str, Any]) -> dict[str, Any]:
    """What is worth keeping: the pooled figures of the first and the last round, and what it took."""
    rounds = measured["rounds"]
    seconds = sorted(each["seconds"] for each in rounds)
    return {
        "rounds": len(rounds),
        "first": rounds[0]["metrics"],
        "last": rounds[-1]["metrics"],
        "median_seconds_a_round": seconds[len(seconds) // 2],
        **{key: measured[key] for key in ("most_mib", "memory", "update_bytes", "model_bytes", "seconds")},
    }


def _say(root: Path, federation: Federation, summary: dict[str, Any]) -> None:
    last = summary["last"]
    print("\nAll clinics' held-out images together, from sums of counts; no clinic's own figures leave it:")
    for metric, name in (("auc", "AUC"), ("calibration_error", "expected calibration error")):
        value, bound = last[f"scores.{metric}"], last[f"scores.{metric}_bound"]
        print(f"  {name:<28} {value:.4f}, at most {bound:.4f} from that of the scores themselves")
    print(f"  {'accuracy, mean of clinics':<28} {last['accuracy']:.4f}")
    print(
        f"{summary['rounds']} rounds, {summary['median_seconds_a_round']:.1f} s in the median; all processes "
        f"together took at most {summary['most_mib']:.0f} MiB ({summary['memory']})"
    )
    print(f"model:   {federation.results / 'model.safetensors'}\nsummary: {root / 'summary.json'}")


if __name__ == "__main__":
    main()
