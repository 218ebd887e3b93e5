"""`hanse collaborator`: the agent that works next to a site's data."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Annotated

import typer

from hanse.cli.options import SITE, Json, LogJson, LogLevel, SiteDirectory, required_reason, seconds
from hanse.cli.output import log_to, say, say_json
from hanse.errors import HanseError

logger = logging.getLogger(__name__)

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.callback()
def _collaborator() -> None:
    """Run the agent that works next to a site's data, and read what left the site."""


@app.command()
def start(directory: SiteDirectory = SITE, log_level: LogLevel = None, log_json: LogJson = False) -> None:
    """Serve the site's federation until Ctrl-C or SIGTERM, as site.yaml permits.

    The log, on the standard error and in agent.log, says what the agent waits for. Interrupted
    work is resumed at the next start.
    """
    from hanse.assembly.attested.sealed_memory import begin_sealed_memory
    from hanse.assembly.site import agent
    from hanse.cli.service import run_until_stopped
    from hanse.config.layout import AGENT_LOG
    from hanse.config.settings import load_site

    settings = load_site(directory)
    log_to(log_level or settings.log.level, as_json=log_json, file=directory / AGENT_LOG)
    try:
        begin_sealed_memory(directory, settings.sealed_memory)
        code = run_until_stopped(agent(directory).run())
    except HanseError as error:
        logger.error("the agent ends: %s", error)  # agent.log should state the reason, too
        raise
    raise typer.Exit(code)


@app.command()
def log(
    directory: SiteDirectory = SITE,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Only what left for this run.")
    ] = None,
    last: Annotated[
        int | None, typer.Option("--last", min=1, metavar="N", help="At most N records, the latest.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what left the site, from its own journal, whose chain is verified; the agent may run meanwhile."""
    from hanse.assembly.site_journal import logged
    from hanse.cli.site_log import describe
    from hanse.core.values.wording import format_time, visible

    site_log = logged(directory, run=run, last=last)
    found = site_log.records
    if json:
        say_json([each.as_json() for each in found])
        return
    for each in found:
        first, *more = describe(each.read, site_log.site)
        say(f"{format_time(each.record.time_ms)}  {each.record.sequence:>4}  {first}")
        for line in more:
            say(f"{'':28}{line}")
    if not found:
        begun = format_time(site_log.begun_ms)
        say(f"the journal of this site records nothing for {visible(run or '')}; it begins at {begun}")


@app.command("signing-key")
def signing_key(
    directory: SiteDirectory = SITE,
    rotate: Annotated[
        bool,
        typer.Option(
            "--rotate", help="Put a new key in its place, signed by the old one; stop the agent first."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Show the site's signing key: its fingerprint, and the words for a check by telephone.

    What the site states is signed with this key, which no certificate replaces. Give its fingerprint or
    its words to those who audit runs, for `hanse audit verify --signers`.
    """
    from hanse.assembly.signing_keys import rotate as rotate_key
    from hanse.assembly.signing_keys import site_signing_key
    from hanse.cli.signing_key import say_signing_key

    old = None
    if rotate:
        rotation = asyncio.run(rotate_key(directory))
        key, old = rotation.key, rotation.old
    else:
        key = site_signing_key(directory)
    if json:
        replaced = {"replaced": old} if rotate else {}
        say_json({"fingerprint": key.fingerprint, "words": key.words, **replaced})
        return
    if rotate:
        say(f"replaced {old}" if old else "an earlier rotation, which was interrupted, is finished")
    say_signing_key(key.fingerprint, key.words)
    if rotate:
        say("  give the new words to each person who has noted the old ones")


@app.command()
def trust(
    name: Annotated[str, typer.Argument(help="The other site, see `hanse federation peers`.")],
    directory: SiteDirectory = SITE,
    words: Annotated[
        str | None,
        typer.Option(
            help="The 12 words as they were heard, in quotes, or - to read them from standard input; unset: "
            "the command asks for them."
        ),
    ] = None,
    fingerprint: Annotated[
        str | None, typer.Option(metavar="HEX", help="The whole fingerprint, where it came on paper.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take NAME out of the checked peers.")] = False,
) -> None:
    """Enter the signing key of another site as checked, from the words that its people read out.

    Call a person of that site, under a number that you have not got from the federation's operator. They
    run `hanse collaborator signing-key` on their machine and read its words out. This command compares
    them with what the aggregator states, and writes the fingerprint to site.yaml if they are the same;
    the agent has to be restarted then. It never shows the aggregator's words.
    """
    from hanse.assembly.peers import forget
    from hanse.cli.peer_table import enter_peer, say_restart

    if sum((words is not None, fingerprint is not None, remove)) > 1:
        raise typer.BadParameter("give one of --words, --fingerprint and --remove")
    if remove:
        forget(directory, name)
        say(f"{name} is not among the checked peers any more")
        say_restart()
        return
    if words == "-":
        words = sys.stdin.readline()
    enter_peer(directory, name, fingerprint if words is None else words)


@app.command()
def acknowledge(
    reason: Annotated[str, required_reason("the site's journal")],
    directory: SiteDirectory = SITE,
) -> None:
    """Acknowledge that the site's journal was restored from a backup, or is damaged; stop the agent first.

    If the journal was restored, a new record in it names the records that are missing. If the journal
    is damaged, its file is kept under another name, and the first record of a new journal names the file.
    """
    from hanse.assembly.site_journal import acknowledge

    say(asyncio.run(acknowledge(directory, reason)))


@app.command()
def questions(directory: SiteDirectory = SITE, json: Json = False) -> None:
    """List what the agent waits for a person to permit, in masked sums; the agent may run meanwhile."""
    from hanse.assembly.site_questions import questions
    from hanse.core.values.wording import format_time, visible

    found = questions(directory)
    if json:
        say_json([{"id": each.id, **each.model_dump(mode="json")} for each in found])
        return
    for each in found:
        say(f"{each.id}  run {visible(each.run_id)}, asked on {format_time(each.asked_ms)}")
        for line in each.text.splitlines():
            say(f"  {visible(line)}")
        say(f"  to permit it: hanse collaborator permit {each.id} --reason '...'")
    if not found:
        say("no question is open")


@app.command()
def permit(
    question: Annotated[
        str, typer.Argument(help="The question, or how it begins; see `hanse collaborator questions`.")
    ],
    reason: Annotated[str, required_reason("the site's journal")],
    directory: SiteDirectory = SITE,
) -> None:
    """Permit what the agent asks about a masked sum; it continues at once.

    Where two cells overlap, the reason states how the sites that may be disclosed have agreed. A question
    that is not permitted stays open, and its exchange waits until it is over.
    """
    from hanse.assembly.site_questions import permit

    permitted = permit(directory, question, reason)
    say(f"{permitted.id} is permitted, and the site's journal has the reason")


@app.command()
def prune(
    directory: SiteDirectory = SITE,
    runs: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Delete folders of runs that ended so long ago, such as 30d."),
    ] = None,
    plans: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Delete plans that no run has wanted for so long, such as 180d."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    json: Json = False,
) -> None:
    """Delete what ended runs left in the site's folder; the agent may run meanwhile.

    Ages that are not given are those of `retention` in site.yaml, by which the agent deletes on its own.
    With the folder of a run goes the local state that its code kept. The journal, receipts, logs, and
    answers of persons to plans stay.
    """
    from hanse.assembly.tuning import now
    from hanse.collaborator.prune import prunable
    from hanse.config.settings import SiteRetention, load_site

    kept = load_site(directory).retention
    keep = SiteRetention(
        runs=kept.runs if runs is None else seconds(runs),
        plans=kept.plans if plans is None else seconds(plans),
    )
    if keep == SiteRetention():
        raise typer.BadParameter("give --runs or --plans, or set `retention` in site.yaml")
    found = list(prunable(directory, keep, now()))
    for each in found:
        if not dry_run:
            each.delete()
    if json:
        say_json([{"path": str(f.path), "bytes": f.num_bytes, "unused_s": f.unused_s} for f in found])
        return
    done = "would delete" if dry_run else "deleted"
    for each in found:
        age = f"not used for {each.unused_s / 86_400:.1f} days"
        say(f"{done} {each.what}, {each.num_bytes / 1e6:.1f} MB, {age}")
    if not found:
        say("there is nothing to delete")
