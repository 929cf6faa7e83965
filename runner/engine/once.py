"""The same call under the same run id: what it did before is told, and not done again.

An answer may be lost, a call may come twice, a deadline may cut a run in pieces. The history
protects what `migrate` applies in any case; it does not protect `rollback`, which would undo
one version more each time, nor does an approved digest fit what is left of its plan.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from runner.database.session import Session
from runner.errors import Refused
from runner.history import read
from runner.result import Applied, Task

if TYPE_CHECKING:
    from runner.engine.job import Job
    from runner.engine.run import Run

_Key = tuple[str, str, str]

FLEET = "fleet:"  # what the digest of many targets' plans begins with


class Earlier(NamedTuple):
    """What a run has done already, and what is left of what it set out to do."""

    applied: list[Applied]
    left: list[Task]

    def undone_once(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs without what would undo more than the run set out to undo."""
        left = {_key(task) for task in self.left}
        return [job for job in jobs if job.task.action != "undo" or _key(job.describe()) in left]

    def approved(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs, if they are exactly what is left; none where nothing is.

        Raises:
            Refused: they are not.
        """
        if not self.left:
            return [job for job in jobs if job.task.background]
        now = [_key(job.describe()) for job in jobs if not job.task.background]
        if now != [_key(task) for task in self.left]:
            files = [", ".join(task["file"] for task in self.left)]
            files.append(", ".join(job.migration.name for job in jobs) or "nothing")
            raise not_approved(f"left:     {files[0]}", f"now:      {files[1]}")
        return list(jobs)


def earlier(session: Session, run_id: str, asked: str) -> Earlier | None:
    """Return what came of the same call before, None where it was not made.

    Parameters:
        asked: the call's text.
    """
    begun = read.begun(session, run_id)
    if begun is None or begun.asked != asked:
        return None
    tasks = {_key(task): task for task in begun.tasks}
    applied: list[Applied] = []
    for action, file, checksum, took, trace in read.done_by(session, run_id, begun.log_id):
        if task := tasks.pop((action, file, checksum), None):
            applied.append(
                {**task, "duration_ms": took, "attempts": 1, "notices": [], **(trace or {})}
            )
    return Earlier(applied, list(tasks.values()))


def kept_for_fleet(run: Run, digests: Sequence[str]) -> Run:
    """Return a run that keeps what it sets out to do, where a fleet's digests approve that.

    What is left of it when it stops has another digest, and nobody is to approve it again.
    """
    approved = bool(digests) and all(digest.startswith(FLEET) for digest in digests)
    return run._replace(asked=_approval(digests)) if approved and run.asked is None else run


def is_rest(session: Session, digests: Sequence[str], jobs: Sequence[Job]) -> bool:
    """Return whether jobs are exactly what the newest run with this approval did not get to."""
    found = read.newest_begun(session, _approval(digests))
    if found is None:
        return False
    run_id, begun = found
    done = {
        (each.action, each.file, each.checksum)
        for each in read.done_by(session, run_id, begun.log_id)
    }
    left = [_key(task) for task in begun.tasks if _key(task) not in done]
    return left == [_key(job.describe()) for job in jobs]


def _approval(digests: Sequence[str]) -> str:
    return json.dumps(["approved", *sorted(digests)])


def not_approved(*details: str) -> Refused:
    """Return the error for a plan that nobody approved."""
    return Refused(
        "what would run now is not what was approved",
        details=details,
        fix="look at the plan again (runner plan) and approve its digest",
    )


def _key(task: Task) -> _Key:
    return task["action"], task["file"], task["checksum"]
