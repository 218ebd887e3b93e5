"""Check of `hanse doctor` for sealed runs: ways by which what is in memory could come to a disk."""

from __future__ import annotations

from collections.abc import Iterator

from hanse.config.units import format_size
from hanse.doctor.checks import Finding, Grade
from hanse.sandbox.sealed.core_dumps import core_pattern
from hanse.sandbox.sealed.memory_folder import swap_areas

_CHECK = "sealed memory"


def check_sealed_memory(
    max_bytes: int | None, swap: tuple[str, ...] | None = None, pattern: str | None = None
) -> Iterator[Finding]:
    """Report swap areas and where core dumps go; nothing where no sealed run is possible.

    Args:
        max_bytes: `sealed_memory` of the settings.
        swap: Swap areas; None to look for those of this machine.
        pattern: Where the machine has core dumps written; None to read that.
    """
    if max_bytes is None:
        return
    swap = swap_areas() if swap is None else swap
    pattern = core_pattern() if pattern is None else pattern
    if swap:
        yield Finding(
            _CHECK,
            Grade.WARN,
            f"the kernel may write memory of sealed runs to {', '.join(swap)}",
            "Switch swap off (`swapoff -a`), or give the service `MemorySwapMax=0` in systemd.",
        )
    yield Finding(
        _CHECK,
        Grade.OK,
        f"{format_size(max_bytes)} for files of sealed runs. Hanse's processes leave no core dump; those of "
        f"other programs go to {pattern or 'a place that cannot be read here'}",
    )
