"""Failure of a masked task: one word for the aggregator, the rest for the log of the site."""

from __future__ import annotations

from hanse.errors import HanseError, TaskError

DATA = "data"
"""Kind of every failure of which the data may have been the reason; outside, they are all the same."""


class SumFailedError(Exception):
    """Ends an exchange at this site.

    Attributes:
        kind: All that leaves the site of it.
        reason: For this site's log.
        printed: Last lines of what the task printed, for the same.
        by_data: Whether the data may have been the reason; not where the aggregator merely says so.
    """

    def __init__(self, kind: str, reason: str, printed: str = "", *, by_data: bool = False) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.printed = printed
        self.by_data = by_data

    @staticmethod
    def of(error: HanseError) -> SumFailedError:
        """The failure of something that has not seen the data."""
        return SumFailedError(error.code, str(error))

    @staticmethod
    def of_data(error: Exception) -> SumFailedError:
        """The failure of something that has."""
        printed = error.log_tail if isinstance(error, TaskError) else ""
        return SumFailedError(DATA, str(error), printed, by_data=True)
