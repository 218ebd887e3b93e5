"""A plan in words that somebody who answers for a site's data understands."""

from __future__ import annotations

import json

from hanse.config.secure_sums.sentences import learned, masked_sent, tensors_in_words
from hanse.config.show_built_in import columns_of, numbers_of, results_of
from hanse.config.show_groups import arriving, groups_sent
from hanse.config.units import format_duration
from hanse.core.plan.built_in import BUILT_IN
from hanse.core.plan.exchange_limits import may_stream, most_in_round, most_in_run
from hanse.core.plan.local_rules import describe as describe_rule
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cells import masks
from hanse.core.plan.tasks import Disclosure
from hanse.core.plan.transforms import Compression
from hanse.core.plan.transforms import describe as describe_transform
from hanse.core.values.significant import MOST_DIGITS
from hanse.core.values.wording import counted, named, visible


def describe(manifest: Manifest, digest: str) -> str:
    """Tell what a plan would run, and where, and what would leave a site for whom.

    Args:
        manifest: The plan.
        digest: Its SHA-256.

    Returns:
        Lines of plain text. Whatever the plan's author wrote is shown without
        the characters that would let it pass for something else.
    """
    plan = manifest.plan
    sections = {
        f"Plan {plan.name}": [f"SHA-256 {digest}"],
        "What runs at a site": _at_site(manifest),
        "What runs at the aggregator": _at_aggregator(plan),
        "What leaves a site": _leaves(plan),
        "What comes to a site": arriving(plan),
    }
    if plan.privacy.secure_aggregation is not None:
        sections["Who learns what of masked sums"] = learned(plan)
    blocks = ("\n  ".join(map(visible, [heading, *lines])) for heading, lines in sections.items())
    return "\n\n".join(blocks) + "\n"


def _at_site(manifest: Manifest) -> list[str]:
    plan = manifest.plan
    if plan.script is not None:
        lines = [f"The script {plan.script}, next to the site's data."]
        if plan.arguments:
            lines.append(f"Its arguments: {_json(plan.arguments)}")
    else:
        lines = [f"The learner {plan.learner}, next to the site's data."]
    lines.append("Its code is these files, byte for byte, and no others of the plan:")
    lines += [f"  {file.path}  ({file.size:,} B, SHA-256 {file.sha256[:12]})" for file in manifest.files]
    if plan.data:
        needed = ", ".join(plan.data)
        lines.append(f"It reads the data that site.yaml calls {needed}, and no other.")
    else:
        lines.append("It names no data of the site, and can read none.")
    if plan.requires:
        lines.append(f"These have to be installed here: {', '.join(plan.requires)}.")
    if plan.options:
        lines.append(f"Options of its code: {_json(plan.options)}")
    lines += columns_of(plan)
    if plan.personal:
        lines.append(f"These tensors of the model stay here, and are never sent: {', '.join(plan.personal)}.")
    lines.append("Its tasks:")
    for name, task in plan.tasks.items():
        settings = ", ".join(f"{key} {_json(value)}" for key, value in task.learner_settings().items())
        lines.append(f"  {name}" + (f": {settings}" if settings else ""))
        if task.local:
            rules = ", then ".join(describe_rule(rule) for rule in task.local)
            lines.append(f"    with the local rules: {rules}")
    return lines


def _at_aggregator(plan: Plan) -> list[str]:
    if plan.workflow in BUILT_IN:
        workflow = f"The built-in workflow {plan.workflow}: {BUILT_IN[plan.workflow].says}"
    else:
        workflow = (
            f"The plan's own workflow {plan.workflow}; it decides which tasks are asked, and how often, "
            "within the limits below."
        )
    cohort = plan.cohort
    rounds = "1 round, with" if plan.rounds == 1 else f"{plan.rounds} rounds at most, each with"
    drawn = "sites" if plan.privacy.secure_aggregation is None else "cells"
    who = "all sites" if cohort.fraction == 1 else f"{cohort.fraction:.0%} of the {drawn}, drawn at random"
    return [
        workflow,
        f"{rounds} {who}, at least {cohort.minimum}.",
        f"A round waits for its sites {format_duration(cohort.deadline)} at most.",
        *results_of(plan),
    ]


def _leaves(plan: Plan) -> list[str]:
    lines = []
    for name, task in plan.tasks.items():
        lines.append(f"Each time it does {name}, {_how_often(plan, name)}:")
        if masks(plan, name):
            lines += masked_sent(plan, name)
        else:
            sent = [*_sent(plan, task.discloses), *groups_sent(plan, task.discloses)]
            lines += [f"  - {what}" for what in sent]
        lines += [f"    {line}" for line in numbers_of(plan, task.discloses)]
    if plan.first_model == "site":
        lines += [
            "Before round 1, from one site, the first by name:",
            "  - the model that the plan's code makes there before it trains: all tensors, that site's own"
            + (f", without {', '.join(plan.personal)}." if plan.personal else "."),
            "    (The plan has no initial_model.)",
        ]
    return [
        *lines,
        *_compressed(plan.compression, grouped=bool(plan.groups)),
        "When a task fails:",
        "  - that it failed and with what kind of error; the error's message and the last lines that the",
        "    code printed only as far as `failures` in site.yaml lets them.",
        "Always:",
        "  - the site's name, its signed answer to this plan, and when it starts and ends a task.",
    ]


def _how_often(plan: Plan, task: str) -> str:
    in_run = f"in {counted(most_in_run(plan, task), 'exchange')} of a run"
    if may_stream(plan, task):
        return f"at most {in_run}"
    return f"at most in {counted(most_in_round(plan, task), 'exchange')} of a round, {in_run}"


def _compressed(compression: Compression, *, grouped: bool) -> list[str]:
    """How updates leave, which discloses no more than what they are made of."""
    if not compression.upload:
        return []
    steps = ", then ".join(describe_transform(step) for step in compression.upload)
    lines = [
        "How updates leave, compressed by the site's agent:",
        f"  - {steps}; tensors of fewer than {compression.smallest:,} numbers as they are",
    ]
    if grouped:
        listed = named(list(compression.groups))
        lossy = f"of groups, those of {listed} alone; all others lose nothing"
        lines.append(f"  - {lossy if listed else 'groups lose nothing'}")
    if compression.error_feedback:
        lines.append("  - what that leaves out stays at the site, and is added to its next update")
    return lines


def _sent(plan: Plan, disclosure: Disclosure) -> list[str]:
    digits = plan.metric_digits
    sent = ["the number of examples it worked on, to the aggregator, the operators and the workflow"]
    if disclosure.metrics:
        numbers = ", ".join(disclosure.metrics)
        exact = "" if digits == MOST_DIGITS else f", rounded to {counted(digits, 'significant digit')}"
        sent.append(
            f"{numbers}: the site's own figures{exact}, to the aggregator, the operators and the workflow"
        )
    tensors = tensors_in_words(plan, disclosure)
    match disclosure.update:
        case "none":
            sent.append("nothing of the model")
        case "aggregate":
            sent.append(
                f"how training changed the model ({tensors}), to the aggregator, which promises to show "
                f"the workflow only {_shown_of_all(plan)}"
            )
        case "individual":
            sent.append(f"how training changed the model ({tensors}), to the aggregator and the workflow")
    return sent


def _shown_of_all(plan: Plan) -> str:
    """Result of all sites' updates that the workflow sees."""
    rule, minimum = plan.aggregation.robust, plan.cohort.minimum
    if rule is None:
        return f"the sum over all sites, {minimum} at least"
    return f"one result of all sites, {minimum} at least: {rule.in_words}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
