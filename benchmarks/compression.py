"""What compression saves, loses and costs, and what it leaves of a model's accuracy.

    python benchmarks/compression.py                    speed, the heart demo, scikit-learn's digits
    python benchmarks/compression.py --parts speed
    python benchmarks/compression.py --mnist DIR        MNIST from DIR/mnist.npz in place of the digits
    python benchmarks/compression.py --quick            one seed, fewer rounds

Bytes, error and speed are those of a real update: what a third epoch on the images
changes in a perceptron with two hidden layers of 2,048. Bytes are also given for as
many normally distributed numbers, which have no zeros and no structure to gain from.
Speed is that of one core, in bytes of the update before it is encoded, beside a copy
of it to memory that is there already. Accuracy is that of whole runs in the simulator,
which sends the same bytes as a deployment.

`HANSE_MNIST` stands for `--mnist`. With `--keep FILE` rows are read from FILE and
written to it, so that a long run can be done in pieces (`--only`, `--parts`); with
`--write PAGE` the table also goes into a page, between its marks.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hanse.compression.base import norm
from hanse.compression.delta import apply_delta, model_delta
from hanse.compression.update import UpdateCodec
from hanse.config.load import load_plan
from hanse.core.plan.transforms import Compression
from hanse.core.values.parameters import Parameters, TensorSpec, num_bytes, specs
from hanse.core.values.seeds import derive
from hanse.demo.files import HEART_DISEASE, HEART_DISEASE_PLAN, HOSPITALS
from hanse.simulation.simulate import Settings, VirtualSite, simulate
from hanse.wire.tensors import decode, encode

LISTS: dict[str, list[Any]] = {
    "none": [],
    "zstd": ["zstd"],
    "fp16": ["fp16"],
    "bf16": ["bf16"],
    "bf16, zstd": ["bf16", "zstd"],
    "int8": ["int8"],
    "int8 (block 1024)": [{"name": "int8", "block": 1024}],
    "int8, zstd": ["int8", "zstd"],
    "int4": ["int4"],
    "int4 (block 64)": [{"name": "int4", "block": 64}],
    "int4, zstd": ["int4", "zstd"],
    "rotate, int4 (block 1024)": ["rotate", {"name": "int4", "block": 1024}],
    "eden": ["eden"],
    "eden (2 bits)": [{"name": "eden", "bits": 2}],
    "drive": ["drive"],
    "random_k (0.1)": [{"name": "random_k", "fraction": 0.1}],
    "random_k (0.1, no feedback)": [{"name": "random_k", "fraction": 0.1, "error_feedback": False}],
    "top_k (0.1)": [{"name": "top_k", "fraction": 0.1}],
    "top_k (0.01)": ["top_k"],
    "top_k (0.01, no feedback)": [{"name": "top_k", "error_feedback": False}],
    "top_k (0.01), int8, zstd": ["top_k", "int8", "zstd"],
    "stc (0.01)": ["stc"],
}
DOWNLOAD = "download: delta, zstd"
LEARNER = Path(__file__).with_name("images_learner.py")
TRIES, SEED = 5, 1
Row = dict[str, Any]


def main() -> None:
    options = arguments()
    kept = json.loads(options.keep.read_text()) if options.keep and options.keep.exists() else {}
    rows: dict[str, Row] = {name: kept.get(name, {}) for name in [*LISTS, DOWNLOAD]}
    names = options.only or list(LISTS)
    with tempfile.TemporaryDirectory() as folder:
        images = prepared(options.mnist, Path(folder))
        if "speed" in options.parts:
            measure_speed({name: rows[name] for name in names}, rows[DOWNLOAD], images)
        for part, runs in (("heart", heart), ("images", pictures)):
            if part in options.parts:
                for name in names:
                    rows[name][part] = list(runs(LISTS[name], images, options.quick))
    if options.keep:
        options.keep.write_text(json.dumps(rows, indent=1))
    told = table({name: row for name, row in rows.items() if row})
    print(told)
    if options.write:
        write(options.write, told)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = ("speed", "heart", "images")
    parser.add_argument("--parts", nargs="*", choices=parts, default=parts)
    parser.add_argument("--mnist", type=Path, default=os.environ.get("HANSE_MNIST"))
    parser.add_argument("--quick", action="store_true", help="one seed, and a third of the rounds")
    parser.add_argument("--only", nargs="+", metavar="LIST", choices=LISTS, help="only these lists, by name")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="rows, kept from call to call")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="page whose marked part gets the table")
    return parser.parse_args()


# ------------------------------------------------------------------ bytes and time


def measure_speed(rows: dict[str, Row], download: Row, images: Path) -> None:
    before, after = trained(images)
    update = {name: after[name] - before[name] for name in before}
    rng = np.random.default_rng(0)
    normal = {name: rng.standard_normal(a.shape).astype(np.float32) for name, a in update.items()}
    size, room = num_bytes(update), {name: np.empty_like(array) for name, array in update.items()}
    copy = size / best(lambda: [np.copyto(room[name], array) for name, array in update.items()]) / 1e9
    zeros = sum(int((array == 0).sum()) for array in update.values()) / sum(a.size for a in update.values())
    for name, row in rows.items():
        row |= {"copy": copy, "zeros": zeros}
        if LISTS[name]:
            codec = UpdateCodec(Compression.model_validate(LISTS[name]))
            row |= measured(codec, update)
            row["normal"] = ratio(normal, encoded(codec, normal))
    new = dict(model_delta(after, before, 1))
    whole = apply_delta(decode(encode(new)), before)
    download |= {
        "ratio": ratio(after, new),
        "error": 0.0,
        "bound": 0.0,
        "encode": size / best(lambda: dict(model_delta(after, before, 1))) / 1e9,
        "decode": size / best(lambda: [np.asarray(array) for array in whole.values()]) / 1e9,
    }


def measured(codec: UpdateCodec, update: Parameters) -> Row:
    size, sent = num_bytes(update), decode(encode(encoded(codec, update)))
    opened = codec.decode(sent, specs(update), SEED)

    def read() -> None:
        for array in opened.values():
            lazy: Any = array
            if not isinstance(array, np.ndarray):
                for begin in range(0, lazy.size, lazy.block):
                    lazy.flat_range(begin, min(begin + lazy.block, lazy.size))

    length = norm(flat(update))
    return {
        "ratio": ratio(update, sent),
        "error": norm(flat(opened) - flat(update)) / length,
        "bound": bound(codec, update) / length,
        "encode": size / best(lambda: encoded(codec, update)) / 1e9,
        "decode": size / best(read) / 1e9,
    }


def encoded(codec: UpdateCodec, update: Parameters) -> Parameters:
    return {each.name: each.data for each in codec.encode(update, SEED)}


def bound(codec: UpdateCodec, update: Parameters) -> float:
    """What the stated bounds of all segments come to together."""
    squares = 0.0
    for name, array in update.items():
        tensor = codec.tensor(TensorSpec(tuple(array.shape), array.dtype.name))
        if tensor is None or not tensor.chain.steps:
            continue
        for index in range(tensor.num_segments):
            seed = derive(derive(SEED, name), index)
            squares += tensor.chain.error_bound(tensor.segment(array.reshape(-1), index), seed) ** 2
    return math.sqrt(squares)


def flat(update: Mapping[str, Any]) -> Any:
    return np.concatenate([np.asarray(array, np.float64).reshape(-1) for array in update.values()])


def ratio(plain: Parameters, sent: Parameters) -> float:
    return len(encode(plain)) / len(encode(sent))


def best(call: Callable[[], object]) -> float:
    """Fastest of some tries, seconds; what else a machine does only makes it slower."""

    def once() -> float:
        begun = time.perf_counter()
        call()
        return time.perf_counter() - begun

    return min(once() for _ in range(TRIES))


def trained(images: Path) -> tuple[Parameters, Parameters]:
    """A large perceptron after two epochs, and after a third."""
    # Under a name of its own: the simulator imports the file as the plan's code.
    spec = importlib.util.spec_from_file_location("learner_of_the_update", LEARNER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    learner = module.Perceptron(images, None, hidden=(2048, 2048), seed=1)
    before = learner.trained(learner.parameters(), epochs=2, seed=2)
    return before, learner.trained(before, epochs=1, seed=3)


# ------------------------------------------------------------------ accuracy


def heart(upload: list[Any], _: Path, quick: bool) -> Iterator[float]:
    """Accuracy over all patients held out, of four hospitals."""
    plan = yaml.safe_load((HEART_DISEASE_PLAN / "plan.yaml").read_text())
    sites = [VirtualSite(name, {"heart": HEART_DISEASE / file}) for name, file in HOSPITALS.items()]
    for seed in range(1 if quick else 5):
        yield run(plan, HEART_DISEASE_PLAN, sites, upload, seed, smallest=1)


def pictures(upload: list[Any], images: Path, quick: bool) -> Iterator[float]:
    """Accuracy on images held out, of ten sites with different digits."""
    discloses = {"update": "aggregate", "aggregated_by": "aggregator"}
    plan = {
        "name": "images",
        "code": ["images_learner.py"],
        "learner": "images_learner:learner",
        "rounds": 8 if quick else 24,
        "data": ["images"],
        "tasks": {
            "train": {"epochs": 1, "batch_size": 32, "lr": 0.05, "discloses": discloses},
            "evaluate": {"discloses": {"metrics": ["accuracy"]}},
        },
    }
    sites = [VirtualSite(f"site-{number}", {"images": images}) for number in range(10)]
    for seed in range(1 if quick else 3):
        yield run(plan, LEARNER.parent, sites, upload, seed, smallest=256)


def run(
    plan: dict[str, Any], code: Path, sites: list[VirtualSite], upload: list[Any], seed: int, *, smallest: int
) -> float:
    compression = {"upload": upload, "smallest": smallest}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in plan["code"]:
            (place / name).write_bytes((code / name).read_bytes())
        (place / "plan.yaml").write_text(json.dumps(plan | {"seed": seed, "compression": compression}))
        (place / "state").mkdir()
        loaded = load_plan(place / "plan.yaml")
        outcome = simulate(loaded, sites, Settings(place / "state", 0), lambda *_: None)
    return float(outcome.run.metrics["accuracy"])


def prepared(mnist: Path | None, folder: Path) -> Path:
    """The images as one file of arrays: MNIST, or the digits that come with scikit-learn."""
    if mnist is not None:
        with np.load(mnist / "mnist.npz") as found:
            images, labels = drawn(found["x_train"], found["y_train"], 6_000)
            held, truth = drawn(found["x_test"], found["y_test"], 2_000)
    else:
        from sklearn.datasets import load_digits

        images, labels = drawn(*load_digits(return_X_y=True), 1_797)
        images, held = images[:1_400], images[1_400:]
        labels, truth = labels[:1_400], labels[1_400:]
    refuse_missing(labels, truth)
    path = folder / "images.npz"
    scale = float(images.max())
    train, test = (np.asarray(part, np.float32).reshape(len(part), -1) / scale for part in (images, held))
    np.savez(path, train=train, labels=labels, test=test, truth=truth)
    return path


def refuse_missing(*parts: Any) -> None:
    """A file sorted by label, cut anywhere, would make an easy task of a few digits."""
    for part in parts:
        found = np.bincount(np.asarray(part, np.int64), minlength=10)
        if len(found) != 10 or found.min() < len(part) / 20:
            sys.exit(f"the images have too few of some digits: {found.tolist()}")


def drawn(images: Any, labels: Any, count: int) -> tuple[Any, Any]:
    """So many images at random: a file may have them sorted by what they show."""
    chosen = np.random.default_rng(0).permutation(len(labels))[:count]
    return images[chosen], labels[chosen]


# ------------------------------------------------------------------ output

COLUMNS = {
    "ratio": ("fewer bytes", "{:.1f} x"),
    "normal": ("of normal numbers", "{:.1f} x"),
    "error": ("error", "{:.2g}"),
    "bound": ("its bound", "{:.2g}"),
    "encode": ("encode, GB/s", "{:.2f}"),
    "decode": ("decode, GB/s", "{:.2f}"),
    "heart": ("heart", ""),
    "images": ("images", ""),
}


def table(rows: dict[str, Row]) -> str:
    columns = [key for key in COLUMNS if any(key in row for row in rows.values())]
    lines = ["| | " + " | ".join(COLUMNS[key][0] for key in columns) + " |"]
    lines.append("| --- " * (len(columns) + 1) + "|")
    for name, row in rows.items():
        lines.append(f"| `{name}` | " + " | ".join(cell(row, key) for key in columns) + " |")
    first = next((row for row in rows.values() if "copy" in row), None)
    if first:
        told = (
            f"\nA copy runs at {first['copy']:.1f} GB/s. Of the update {100 * first['zeros']:.0f} % is zero."
        )
        lines.append(told)
    return "\n".join(lines)


def cell(row: Row, key: str) -> str:
    if key not in row:
        return ""
    if key in ("heart", "images"):
        spread = f" ± {statistics.stdev(row[key]):.3f}" if len(row[key]) > 1 else ""
        return f"{statistics.mean(row[key]):.3f}{spread}"
    return COLUMNS[key][1].format(row[key])


def write(page: Path, told: str) -> None:
    begin, end = "<!-- measured: benchmarks/compression.py -->\n", "<!-- end -->"
    before, _, rest = page.read_text("utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        sys.exit(f"{page} has no part between `{begin.strip()}` and `{end}`")
    page.write_text(f"{before}{begin}\n{told}\n\n{end}{after}", "utf-8")


if __name__ == "__main__":
    main()
