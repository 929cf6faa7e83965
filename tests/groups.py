"""Which tests are slow, and which share a worker: those that share what is expensive to make.

A worker has a PostgreSQL server and an emulated AWS of its own, made when a test first asks for
them. Tests of one file stay together, because fixtures of a module are made once.
"""

import pytest
from xdist.scheduler import LoadScopeScheduling

# The folders whose tests share more than a file's, by what they share.
TOGETHER = {
    "tests/playbooks/iam/": "the account whose runner logs in through IAM",
    "tests/playbooks/": "the three environments",
}
# What takes minutes begins first, so that no worker begins it when the others have done.
LONGEST = (
    *reversed(TOGETHER.values()),
    "tests/pipeline/test_whole.py",
    "tests/pipeline/test_line.py",
    "tests/modules/",
)
# What has an emulated AWS, or a file of which takes ten seconds and more, two cores given.
SLOW = (
    "tests/ci/",
    "tests/docs/test_tutorial.py",
    "tests/local/",
    "tests/modules/",
    "tests/pipeline/",
    "tests/playbooks/",
    "tests/runner/commands/test_rehearse.py",
    "tests/runner/commands/test_verify.py",
    "tests/runner/database/test_catalog.py",
    "tests/runner/engine/test_backfill.py",
    "tests/runner/engine/test_bounds.py",
    "tests/runner/engine/test_concurrency.py",
    "tests/runner/engine/test_crash.py",
    "tests/runner/engine/test_drift.py",
    "tests/runner/engine/test_large_schema.py",
    "tests/runner/engine/test_locks.py",
    "tests/runner/engine/test_once.py",
    "tests/runner/engine/test_sessions.py",
    "tests/runner/engine/test_steps.py",
    "tests/runner/engine/test_uncertain.py",
    "tests/runner/fleet/test_fleet.py",
    "tests/runner/history/test_trust.py",
    "tests/runner/lint/test_rewrite.py",
    "tests/runner/syntax/test_statements_fuzz.py",
    "tests/torture/",
)


def slow(item: pytest.Item) -> bool:
    """Return whether somebody who works on something else would rather not wait for a test."""
    return item.nodeid.startswith(SLOW) or "stack" in getattr(item, "fixturenames", ())


def group(nodeid: str) -> str:
    """Return what says with which tests this one stays together."""
    path = nodeid.partition("::")[0]
    return next((name for folder, name in TOGETHER.items() if path.startswith(folder)), path)


def place(item: pytest.Item) -> int:
    """Return the place of a test's group in the order of groups."""
    name = group(item.nodeid)
    known = (number for number, start in enumerate(LONGEST) if name.startswith(start))
    return next(known, len(LONGEST))


class Groups(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a worker group after group, as they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
