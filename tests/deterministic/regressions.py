"""Seeds that once showed a fault: each is a test, so that none comes back. `make explore` finds more.

A seed names a schedule only as long as what draws it stays as it is, so a change to the weather or to
a world moves them to other schedules. The cause therefore has a test of its own beside the code, which
each line names.
"""

CORE: dict[int, str] = {
    0: "no site gave a first model, and every resumption failed again: test_resumption",
    10: "no site of a stream answered, and every resumption failed again: test_resumption",
    56: "a run could not be resumed without a site that had left for good: test_resumption",
    104352: "a cohort whose sites had left and come back was asked as nobody: test_resumption",
    105140: "a workflow found another cohort in the round that it did again: test_resumption",
}
"""By seed of a `CoreWorld`: what was wrong, and where the cause is tested."""

SERVICE: dict[int, str] = {
    13: "an update that came too late, after a restart, stayed on the disk for ever: test_retention",
    142: "so did one that was brought before a restart and sent after it: test_retention",
    293: "so did one that was being brought when the aggregator died: test_retention",
}
"""By seed of a `ServiceWorld`."""
