"""Writes the tables of the page from results.json: `python tables.py`; a test holds both together."""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
PAGE = HERE.parents[2] / "docs" / "cases" / "brain-tumours.md"
PLAN = yaml.safe_load((HERE / "plan.yaml").read_text("utf-8"))
_MARKED = re.compile(r"(<!-- (rates|budget|results) -->\n).*?(<!-- end -->)", re.DOTALL)
_TESTS = {"all": "New phantoms of the 71 institutions", "unseen": "Institutions not trained with"}
_REGIONS = {"wt": "whole tumour", "tc": "tumour core", "et": "enhancing"}


_CHOOSING = {"federated": "federated", "alone": "largest institution alone", "pooled": "all pooled"}


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


def rates(results: dict[str, Any]) -> str:
    """The loss that each learning rate came to, by contender; the lowest is bold."""
    chosen, losses = results["rates"]["chosen"], results["rates"]["losses"]
    tried = list(next(iter(losses.values())))
    lines = [f"| | {' | '.join(tried)} |", f"|{' --- |' * (len(tried) + 1)}"]
    for name in sorted(losses, key=list(_CHOOSING).index):
        shown = [
            f"**{loss:.3f}**" if float(rate) == chosen[name] else f"{loss:.3f}"
            for rate, loss in losses[name].items()
        ]
        lines.append(f"| {_CHOOSING[name]} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def budget(results: dict[str, Any]) -> str:
    """What each contender trains: steps one after another, and phantoms shown in all, with repetition."""
    sizes, epochs, batch = results["sizes"], results["epochs"], results["batch"]
    train, runs = PLAN["tasks"]["train"], results["seeds"].values()
    each = train["batches"] * train["batch_size"]
    updates = mean(run["federated"]["updates"] for run in runs)
    lines = ["| | steps | phantoms in a step | phantoms shown |", "| --- | --- | --- | --- |"]
    lines.append(
        f"| {_name('federated', sizes)} | {results['rounds']} rounds of {train['batches']}, "
        f"at about {updates / results['rounds']:.0f} institutions each "
        f"| {train['batch_size']} | at most {round(updates * each):,} |"
    )
    for name in list(next(iter(runs)))[1:]:
        kind, *rank = name.split()
        mine = [sizes[int(rank[0]) - 1]] if rank else sizes
        count = sum(size - -(-size // 5) for size in mine)
        steps, shown = -(-count // batch) * epochs[kind], count * epochs[kind]
        lines.append(f"| {_name(name, sizes)} | {steps} | {batch} | {shown:,} |")
    return "\n".join(lines) + "\n"


def page(text: str, results: dict[str, Any]) -> str:
    """The page with its tables made again."""
    made = {"rates": rates, "budget": budget, "results": tables}
    return _MARKED.sub(lambda found: f"{found[1]}{made[found[2]](results)}{found[3]}", text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8"), json.loads(RESULTS.read_text("utf-8"))), "utf-8")
