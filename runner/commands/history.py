"""`runner history`: what was done, undone, repaired: by whom, when, in which run."""

from __future__ import annotations

from runner.engine.run import Run, opened, reported
from runner.history import read
from runner.result import Result


def history(run: Run, limit: int) -> Result:
    """List the newest `limit` entries of the history's log, the oldest of them first."""
    result = Result("history", run.run_id)
    with reported(result), opened(run, result, locked=False) as session:
        result.data = read.log(session, limit)
    return result
