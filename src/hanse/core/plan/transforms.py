"""What is done to an update before it leaves a site: one list of transforms, in a lawful order.

Clipping, noise, compression and masking are all transforms of an update. This
file has their names, their settings and the order in which they may stand, as
values; what they compute is in the packages above. So far there is
compression (`hanse.compression`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from hanse.core.plan.groups import GroupName
from hanse.core.plan.section import PlanSection, new_since

SEGMENT = 1 << 17
"""Numbers that are encoded together: a longer tensor is cut into segments of so many.

Bounds what encoding and decoding need beside their input, and is a part of the format.
"""


class Stage(StrEnum):
    """Where in the list a transform stands. The order of the members is the lawful one."""

    CLIP = "clipping"
    NOISE = "noise"
    SPARSIFY = "sparsification"
    ROTATE = "rotation"
    QUANTISE = "quantisation"
    LOSSLESS = "lossless compression"
    MASK = "masking"


class Fp16(PlanSection):
    """IEEE half precision, with one power of two a segment so that nothing over- or underflows."""

    name: Literal["fp16"] = "fp16"


class Bf16(PlanSection):
    """The upper half of a float32."""

    name: Literal["bf16"] = "bf16"
    rounding: Literal["nearest", "stochastic"] = Field(
        "nearest", description="`nearest`, ties to even, or `stochastic`, which is right on average."
    )


class Int8(PlanSection):
    """Whole numbers from -127 to 127, rounded at random so that they are right on average."""

    name: Literal["int8"] = "int8"
    block: int | None = Field(
        None, ge=16, le=SEGMENT, description="Numbers that share a scale; unset: the whole segment."
    )


class Int4(PlanSection):
    """Whole numbers from -7 to 7, two a byte, rounded at random so that they are right on average."""

    name: Literal["int4"] = "int4"
    block: int | None = Field(
        None, ge=16, le=SEGMENT, description="Numbers that share a scale; unset: the whole segment."
    )


class Drive(PlanSection):
    """One bit a number after a random rotation, with the scale that makes it right on average."""

    name: Literal["drive"] = "drive"


class Eden(PlanSection):
    """As `drive`, with a few bits a number."""

    name: Literal["eden"] = "eden"
    bits: Literal[1, 2, 4] = Field(4, description="Bits a number.")


class TopK(PlanSection):
    """The largest numbers of each segment; what is left out is added to the next update."""

    name: Literal["top_k"] = "top_k"
    fraction: float = Field(0.01, gt=0, le=0.5, description="Part of the numbers that is sent.")
    error_feedback: bool = Field(True, description="Whether the site keeps what was left out.")


class RandomK(PlanSection):
    """Numbers drawn at random; which ones follows from the plan's seed and is not sent."""

    name: Literal["random_k"] = "random_k"
    fraction: float = Field(0.01, gt=0, le=0.5, description="Part of the numbers that is sent.")
    error_feedback: bool = Field(
        True,
        description="Whether the site keeps what was left out; if not, what is sent is scaled up so that it "
        "is right on average.",
    )


class Stc(PlanSection):
    """Sparse ternary compression: the largest numbers, by sign and one common magnitude."""

    name: Literal["stc"] = "stc"
    fraction: float = Field(0.01, gt=0, le=0.5, description="Part of the numbers that is sent.")
    error_feedback: bool = Field(True, description="Whether the site keeps what was left out.")


class Rotate(PlanSection):
    """A random rotation, which spreads what is large over all numbers before they are quantised."""

    name: Literal["rotate"] = "rotate"


class Zstd(PlanSection):
    """Bytes grouped by significance, then Zstandard; loses nothing."""

    name: Literal["zstd"] = "zstd"
    level: int = Field(1, ge=1, le=19, description="Effort.")


class Delta(PlanSection):
    """The difference to the model that the site had before, bit by bit; loses nothing."""

    name: Literal["delta"] = "delta"


_STAGES: dict[type[PlanSection], Stage] = {
    TopK: Stage.SPARSIFY,
    RandomK: Stage.SPARSIFY,
    Rotate: Stage.ROTATE,
    Fp16: Stage.QUANTISE,
    Bf16: Stage.QUANTISE,
    Int8: Stage.QUANTISE,
    Int4: Stage.QUANTISE,
    Drive: Stage.QUANTISE,
    Eden: Stage.QUANTISE,
    Stc: Stage.QUANTISE,
    Zstd: Stage.LOSSLESS,
}

Transform = TopK | RandomK | Rotate | Fp16 | Bf16 | Int8 | Int4 | Drive | Eden | Stc | Zstd
"""One entry of the list for uploads."""
TRANSFORMS: tuple[type[PlanSection], ...] = (*get_args(Transform), Delta)
"""All of them, for the reference."""


def _named(value: Any) -> Any:
    """`int8` is short for `{name: int8}`."""
    return {"name": value} if isinstance(value, str) else value


_IN_REFERENCE: dict[str, JsonValue] = {"format": "transform, below"}
Upload = Annotated[
    Annotated[Transform, Field(discriminator="name", json_schema_extra=_IN_REFERENCE)],
    BeforeValidator(_named),
]
Download = Annotated[
    Annotated[Delta | Zstd, Field(discriminator="name", json_schema_extra=_IN_REFERENCE)],
    BeforeValidator(_named),
]


def stage_of(transform: Transform) -> Stage:
    """Where in the list a transform stands."""
    return _STAGES[type(transform)]


def order_problem(transforms: Sequence[Transform]) -> str:
    """Say in words what is wrong with a list of transforms, and the mend; empty where nothing is."""
    names = [transform.name for transform in transforms]
    if "stc" in names and {"top_k", "random_k"} & set(names):
        return "`stc` chooses the numbers to send by itself: leave out `top_k` or `random_k`"
    ranks = [stage for stage in Stage if stage in _STAGES.values()]
    for before, after in pairwise(transforms):
        first, second = stage_of(before), stage_of(after)
        if first is second:
            return f"`{before.name}` and `{after.name}` are both {first}: keep one of them"
        if ranks.index(first) > ranks.index(second):
            order = ", ".join(ranks)
            return (
                f"`{after.name}` ({second}) must stand before `{before.name}` ({first}); the order is {order}"
            )
    return ""


def useless_rotation(transforms: Sequence[Transform]) -> str:
    """Say in words that a rotation has no effect, and the mend; empty where it has, or there is none."""
    names = {transform.name for transform in transforms}
    if "rotate" in names and not {"int8", "int4"} & names:
        return "`rotate` does good only before `int8` or `int4`: add one of them, or leave it out"
    return ""


class Compression(PlanSection):
    """How tensors travel."""

    upload: tuple[Upload, ...] = Field(
        (),
        max_length=10,
        description="What is done to each update before it leaves a site, in this order: one of `top_k`, "
        "`random_k`; `rotate`; one of `fp16`, `bf16`, `int8`, `int4`, `eden`, `drive`, `stc`; `zstd`.",
    )
    download: tuple[Download, ...] = Field(
        (),
        max_length=2,
        description="How a model travels to a site that has the one before: `[delta, zstd]`, or whole.",
    )
    groups: tuple[GroupName, ...] = Field(
        (),
        max_length=20,
        description="Groups on which lossy steps of `upload` act too; they act on the update alone else, and "
        "never on a group that is disclosed as a `total`.",
        json_schema_extra=new_since("0.2"),
    )
    smallest: int = Field(
        256,
        ge=1,
        le=1_000_000_000,
        description="Tensors with fewer numbers are sent as they are: they weigh little and matter much.",
    )

    @model_validator(mode="before")
    @classmethod
    def _list_is_upload(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError(f"should be a list, such as `[{value[:40]}]`, or a table of keys and values")
        named = {"upload": value} if isinstance(value, (list, tuple)) else value
        if not isinstance(named, dict):
            return value
        # Read strictly, JSON's lists would no longer pass for tuples once they went through here.
        return {key: tuple(entry) if isinstance(entry, list) else entry for key, entry in named.items()}

    @model_validator(mode="after")
    def _lawful(self) -> Self:
        problem = order_problem(self.upload)
        if problem:
            raise ValueError(problem)
        if [step.name for step in self.download] not in ([], ["delta", "zstd"]):
            raise ValueError("`download` is `[delta, zstd]` or nothing")
        return self

    @property
    def error_feedback(self) -> bool:
        """Whether a site keeps what a compressed update left out, for the next one."""
        return any(getattr(step, "error_feedback", False) for step in self.upload)

    @property
    def sparse(self) -> str:
        """The transform that leaves most numbers of an upload out, by name; empty where none does."""
        return next((step.name for step in self.upload if isinstance(step, (TopK, RandomK, Stc))), "")


def describe(transform: Transform) -> str:
    """A transform as a plan writes it, without what is at its default."""
    settings: dict[str, JsonValue] = transform.model_dump(exclude={"name"}, exclude_defaults=True)
    told = ", ".join(f"{key} {value}" for key, value in settings.items())
    return f"{transform.name} ({told})" if told else transform.name
