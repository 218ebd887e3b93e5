"""Rules that a few bad updates cannot move far, each with its settings, as a plan names them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Field, JsonValue

from hanse.core.plan.section import PlanSection
from hanse.core.values.wording import counted

ITERATIONS = 5
SMOOTHING = 1e-6
KEEP = 1

Weights = Literal["examples", "alike"]
"""Weights of the updates: their numbers of examples, or the same for all that have any."""
WEIGHTS: Weights = "examples"

TRIM_WORDS = (
    "Of `trimmed_mean`: part of the updates whose values are left out at each end, rounded down to whole "
    "updates; at 0.1, fewer than 10 updates leave none out."
)
BYZANTINE_WORDS = (
    "Of `krum`: updates that may be anything, f. Of n updates the n - f - 2 that are closest to each decide "
    "how good it is; n has to be 2 f + 3 at least."
)
KEEP_WORDS = (
    "Of `krum`: how many updates are chosen, of which the mean is taken; f fewer than all at most. With 1, "
    "the result of a round is the update of one site."
)
NORM_WORDS = (
    "Of `norm_bounded_mean`: largest L2 norm of an update over all floating-point tensors together; longer "
    "ones are scaled down to it. Of `centred_clipping`: largest distance from the centre."
)
ITERATIONS_WORDS = "Of `geometric_median` and `centred_clipping`: iterations at most."
SMOOTHING_WORDS = (
    "Of `geometric_median`: an L2 distance; updates closer to the median count as if they were so far away."
)
WEIGHTS_WORDS = (
    "Of `geometric_median` and `norm_bounded_mean`: `examples` weighs by number of examples, as in their "
    "papers, which a bad site may misstate; `alike` weighs alike all updates with any example."
)

SPARSE_IS_ZERO = "of updates that `{codec}` leaves mostly zero is zero"
SPARSE_IS_FAR = "compares updates, and those that `{codec}` leaves mostly zero differ by what it left out"


class _Rule(PlanSection):
    """Base of the rules."""

    needs: ClassVar[Literal["individual updates"]] = "individual updates"
    """Data that the aggregating party has to see."""
    sparse_problem: ClassVar[str] = SPARSE_IS_FAR
    """Problem with sparse updates, with room for the codec's name; empty where the rule can take them."""

    @property
    def fewest(self) -> int:
        """Updates with examples without which the rule has no result."""
        return 1

    @property
    def shown(self) -> str:
        """The rule as a plan writes it, for messages."""
        settings: dict[str, Any] = self.model_dump()
        return f"{{{', '.join(f'{key}: {value}' for key, value in settings.items())}}}"

    @property
    def in_words(self) -> str:
        """The result, in words for people."""
        raise NotImplementedError


class Median(_Rule):
    """For each number the middle value over the sites (Yin et al. 2018, arXiv 1803.01498)."""

    sparse_problem = SPARSE_IS_ZERO
    rule: Literal["median"] = "median"

    @property
    def in_words(self) -> str:
        """See `_Rule.in_words`."""
        return "for each number of the model the middle one of the sites' values"


class TrimmedMean(_Rule):
    """For each number the mean without its extreme values (Yin et al. 2018, arXiv 1803.01498)."""

    sparse_problem = SPARSE_IS_ZERO
    rule: Literal["trimmed_mean"] = "trimmed_mean"
    trim: float = Field(ge=0, lt=0.5, description=TRIM_WORDS)

    @property
    def in_words(self) -> str:
        """See `_Rule.in_words`."""
        return (
            "for each number of the model the mean of the sites' values, of which a part of "
            f"{self.trim:g} is left out at each end"
        )


class GeometricMedian(_Rule):
    """The point least far from all updates (Pillutla et al. 2022, arXiv 1912.13445, Algorithm 2)."""

    rule: Literal["geometric_median"] = "geometric_median"
    iterations: int = Field(ITERATIONS, ge=1, le=1_000, description=ITERATIONS_WORDS)
    smoothing: float = Field(SMOOTHING, gt=0, description=SMOOTHING_WORDS)
    weights: Weights = Field(WEIGHTS, description=WEIGHTS_WORDS)

    @property
    def in_words(self) -> str:
        """See `_Rule.in_words`."""
        return f"the geometric median of the sites' updates, {_weighed(self.weights)}"


class Krum(_Rule):
    """The mean of the updates that lie closest to most others (Blanchard et al. 2017, arXiv 1703.02757)."""

    rule: Literal["krum"] = "krum"
    byzantine: int = Field(ge=0, le=1_000_000, description=BYZANTINE_WORDS)
    keep: int = Field(KEEP, ge=1, le=1_000_000, description=KEEP_WORDS)

    @property
    def fewest(self) -> int:
        """See `_Rule.fewest`."""
        return max(2 * self.byzantine + 3, self.keep + self.byzantine)

    @property
    def in_words(self) -> str:
        """See `_Rule.in_words`."""
        chosen = "the one update" if self.keep == 1 else f"the mean of the {self.keep} updates"
        return (
            f"{chosen} closest to most others (Krum), as if {counted(self.byzantine, 'site')} could send "
            "anything"
        )


class NormBoundedMean(_Rule):
    """The mean of updates that are scaled down to a norm (Sun et al. 2019, arXiv 1911.07963)."""

    sparse_problem = ""
    rule: Literal["norm_bounded_mean"] = "norm_bounded_mean"
    norm: float = Field(gt=0, description=NORM_WORDS)
    weights: Weights = Field(WEIGHTS, description=WEIGHTS_WORDS)

    @property
    def in_words(self) -> str:
        """See `_Rule.in_words`."""
        return f"the mean of the sites' updates, each of norm {self.norm:g} at most, {_weighed(self.weights)}"


class CentredClipping(_Rule):
    """The mean after clipping around itself (Karimireddy et al. 2021, arXiv 2012.10333, Algorithm 2)."""

    rule: Literal["centred_clipping"] = "centred_clipping"
    norm: float = Field(gt=0, description=NORM_WORDS)
    iterations: int = Field(ITERATIONS, ge=1, le=1_000, description=ITERATIONS_WORDS)

    @property
    def in_words(self) -> str:
        """See `_Rule.in_words`."""
        return (
            f"the mean of the sites' updates, each clipped to a distance of {self.norm:g} from it, found in "
            f"{counted(self.iterations, 'iteration')}"
        )


AnyRobustRule = Median | TrimmedMean | GeometricMedian | Krum | NormBoundedMean | CentredClipping
RULES: dict[str, type[AnyRobustRule]] = {
    kind.model_fields["rule"].default: kind for kind in get_args(AnyRobustRule)
}
"""The robust rules by their names in a plan."""


def _named(value: Any) -> Any:
    """`median` is short for `{rule: median}`."""
    return {"rule": value} if isinstance(value, str) else value


_IN_REFERENCE: dict[str, JsonValue] = {"format": "robust rule, as in `aggregation`"}
RobustRule = Annotated[
    Annotated[AnyRobustRule, Field(discriminator="rule", json_schema_extra=_IN_REFERENCE)],
    BeforeValidator(_named),
]
"""A rule in a plan, by its name or with its settings: `median`, `{rule: krum, byzantine: 1}`."""


def _weighed(weights: Weights) -> str:
    return "weighted by number of examples" if weights == "examples" else "all sites alike"
