"""Writes the tables of the page from results.json: `python tables.py`; a test holds both together."""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import mean
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
PAGE = HERE.parents[2] / "docs" / "cases" / "brain-tumours.md"
_MARKED = re.compile(r"(<!-- results -->\n).*?(<!-- end -->)", re.DOTALL)
_TESTS = {"all": "New phantoms of the 71 institutions", "unseen": "Institutions not trained with"}
_REGIONS = {"wt": "whole tumour", "tc": "tumour core", "et": "enhancing"}


def _name(contender: str, sizes: list[int]) -> str:
    if contender.startswith("alone"):
        rank = int(contender.split()[1])
        return f"no. {rank} by size alone, {sizes[rank - 1]} phantoms"
    return {"federated": f"federated, {len(sizes)} institutions", "pooled": "all pooled"}[contender]


def _figures(found: list[float]) -> str:
    spread = f" ({min(found):.2f}–{max(found):.2f})" if len(found) > 1 else ""
    return f"{mean(found):.2f}{spread}"


def tables(results: dict[str, Any]) -> str:
    """A table for each test set: mean Dice over the seeds, and its range, by contender and region."""
    seeds, sizes = results["seeds"], results["sizes"]
    names = list(next(iter(seeds.values())))
    lines = [f"Seeds: {', '.join(seeds)}. Dice is the mean over the phantoms that have the region."]
    for test, title in _TESTS.items():
        lines += ["", f"{title} ({results['tests'][test]} phantoms):", ""]
        lines += [f"| | {' | '.join(_REGIONS.values())} |", "| --- | --- | --- | --- |"]
        for name in names:
            runs = [run[name]["dice"][test] for run in seeds.values() if name in run]
            shown = " | ".join(_figures([run[region] for run in runs]) for region in _REGIONS)
            lines.append(f"| {_name(name, sizes)} | {shown} |")
    return "\n".join(lines) + "\n"


def page(text: str, results: dict[str, Any]) -> str:
    """The page with its tables made again."""
    return _MARKED.sub(lambda found: f"{found[1]}{tables(results)}{found[2]}", text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8"), json.loads(RESULTS.read_text("utf-8"))), "utf-8")
