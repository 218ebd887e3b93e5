"""Deploys the case: three clinics with folders, keys and X-rays of their own, as processes on this machine.

    python examples/cases/lung_xrays/deploy.py

deals the X-rays to the clinics, runs `plan.yaml` under secure aggregation, verifies the audit, and writes
`deployed-xrays/summary.json` beside the model in `deployed-xrays/results`.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from program import check_port, check_rounds, figure, make_folder, one_line  # noqa: E402

with one_line():
    import argparse
    import json
    from typing import Any

    import clinics
    from local_federation import Federation, deploy
    from plan_copy import changed

    from hanse.assembly.demo import free_directory


def main() -> None:
    """Deploy the clinics, and say what came of it."""
    chosen = _arguments()
    root: Path = chosen.directory or free_directory(Path("deployed-xrays"))
    plan = HERE / "plan.yaml"
    if not clinics.SOURCE.is_file():
        sys.exit(f"there is no data: {clinics.SOURCE} is part of the repository; check it out again")
    make_folder(root)
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
    check_rounds(chosen.rounds)
    check_port(chosen.port)
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
        value, bound = (figure(last.get(f"scores.{metric}{end}"), 4) for end in ("", "_bound"))
        print(f"  {name:<28} {value}, at most {bound} from that of the scores themselves")
    print(f"  {'accuracy, mean of clinics':<28} {figure(last.get('accuracy'), 4)}")
    print(
        f"{summary['rounds']} rounds, {summary['median_seconds_a_round']:.1f} s in the median; all processes "
        f"together took at most {summary['most_mib']:.0f} MiB ({summary['memory']})"
    )
    print(f"model:   {federation.results / 'model.safetensors'}\nsummary: {root / 'summary.json'}")


if __name__ == "__main__":
    with one_line():
        main()
