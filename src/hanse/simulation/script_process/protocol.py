"""Messages between a simulation and the process of a script."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from hanse.core.values.schema import Strict
from hanse.core.values.site import LabelValue

Number = Annotated[float, Field(allow_inf_nan=True)]


class Setup(Strict):
    """Start of the process: the script and its site.

    Attributes:
        script: The script.
        arguments: Its arguments.
        kept: Folder for what the script keeps.
        site: Name of the site; with what follows up to `features`, see `hanse.core.values.site.Site`.
        partition: The partition, as text; None where the site gets no share of a data set.
        names: Names of all sites, in site order.
        deal_seed: Seed of the deal.
        add_data: Advice for a data source that is missing.
        ours: Files and folders of the simulation itself.
    """

    script: str
    arguments: list[str]
    kept: str
    site: str
    data: dict[str, str]
    seed: int
    options: dict[str, JsonValue]
    data_root: str | None
    index: int
    count: int
    state_dir: str
    labels: list[LabelValue] | None
    features: list[str] | None
    partition: str | None
    names: list[str]
    deal_seed: int
    add_data: str
    ours: list[str]


class Order(Strict):
    """A request to the process; the fields of a task are empty where no task is asked.

    Attributes:
        do: `begin` runs the script up to its loop, `initial` asks for its first model, `perform` for a
            task, and `close` runs it to its end.
        task: Name of the task.
        round_number: Its round.
        seed: Its seed.
        settings: Its settings in the plan.
        model: File with the parameters to start from.
        sequence: Number of the exchange.
        counted: Number of the site's last exchange that counted; None where all before did.
        update: File to write parameters to.
        local: Its local rules, as a plan writes them.
        personal: Patterns of tensors that the rules pass by.
        untrained: Patterns of tensors that no gradient trains.
        groups: File with the groups that it receives; empty where it receives none.
        groups_update: File to write the groups of its result to.
    """

    do: str
    task: str = ""
    round_number: int = 0
    seed: int = 0
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    model: str = ""
    sequence: int = 0
    counted: int | None = None
    update: str = ""
    local: list[dict[str, JsonValue]] = Field(default_factory=list)
    personal: list[str] = Field(default_factory=list)
    untrained: list[str] = Field(default_factory=list)
    groups: str = ""
    groups_update: str = ""


class Reply(Strict):
    """Outcome of an order.

    Attributes:
        error: Code of the error that it failed with; empty where it is done.
        reason: The error's message.
        mend: What to do about it.
        log_tail: End of the traceback.
        notices: For the person who simulates.
        imported: Files of the script's own modules, so far.
        opened: Files beside the script that it has read, so far.
        dealt: Whether the script has asked for its share of the data so far.
        dealing: Announcements about the deal.
        evaluates: Whether the script evaluates the federation's model.
        num_examples: Examples of a task.
        metrics: Its metrics.
        trained: Whether it gave parameters.
        grouped: Whether it gave groups.
    """

    error: str = ""
    reason: str = ""
    mend: str = ""
    log_tail: str = ""
    notices: list[str] = Field(default_factory=list)
    imported: list[str] = Field(default_factory=list)
    opened: list[str] = Field(default_factory=list)
    dealt: bool = False
    dealing: list[str] = Field(default_factory=list)
    evaluates: bool = False
    num_examples: int = 0
    metrics: dict[str, Number | None] = Field(default_factory=dict)
    trained: bool = False
    grouped: bool = False
