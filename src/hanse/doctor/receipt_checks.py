"""Checks of what receipts have shown: at a site, and in a federation's folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hanse.aggregator.members.restore_hold import REMEDY, restore_notice
from hanse.collaborator.receipts.notes import NOTICED, contradiction, noted_restore
from hanse.collaborator.site_journal import ACKNOWLEDGE
from hanse.config.layout import RECEIPTS
from hanse.core.journal.membership import STREAM
from hanse.core.values.wording import counted, visible
from hanse.doctor.checks import Finding, Grade
from hanse.files.errors import file_errors
from hanse.wire.receipt_file import EARLIER_SUFFIX, SUFFIX, receipt_files

_CHECK = "receipts"


def check_receipts(directory: Path) -> Iterator[Finding]:
    """Say what a site keeps of the aggregator's receipts, and what they have shown."""
    folder = directory / RECEIPTS
    if not folder.is_dir():
        yield Finding(_CHECK, Grade.OK, "none yet; the agent keeps the first when it has connected")
    else:
        with file_errors(f"read {folder}"):
            files = receipt_files(folder)
            size = sum(path.stat().st_size for path in files)
        runs = {path.name.removesuffix(EARLIER_SUFFIX).removesuffix(SUFFIX) for path in files} - {STREAM}
        yield Finding(_CHECK, Grade.OK, f"those of {counted(len(runs), 'run')}, {size / 1e6:.1f} MB")
    for held in (contradiction(directory), noted_restore(directory, NOTICED)):
        if held is not None:
            yield Finding(
                _CHECK,
                Grade.FAIL,
                f"nothing leaves this site: {visible(str(held))}",
                "Ask the federation's operator; then, with the agent stopped, acknowledge it by "
                f"`{ACKNOWLEDGE}`.",
            )


def check_restore(directory: Path) -> Iterator[Finding]:
    """Say if an aggregator waits for its operator, because it was restored from a backup."""
    if (notice := restore_notice(directory)) is not None:
        detail = f"nothing is recorded until an operator has acted: {notice}"
        yield Finding("restore", Grade.FAIL, detail, REMEDY)
