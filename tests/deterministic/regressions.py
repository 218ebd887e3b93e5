"""Seeds that once showed a fault: each is a test, so that none comes back. `make explore` finds more.

A seed names a schedule only as long as what draws it stays as it is, so a change to the weather or to
a world moves them to other schedules. The cause then has a test of its own beside the code: see the
second column of each.
"""

CORE: dict[int, str] = {
    0: "no site gave a first model, and every resumption failed again: test_resumption",
    10: "no site of a stream answered, and every resumption failed again: test_resumption",
    56: "a run could not be resumed without a site that had left for good: test_resumption",
}
"""By seed of a `CoreWorld`: what was wrong, and where the cause is tested."""
