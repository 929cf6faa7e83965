"""`runner drift`: what was changed outside the migrations, and who accepted it."""

from __future__ import annotations

from runner.engine import drift as looks
from runner.engine.run import Run, opened, reported
from runner.result import Result


def drift(run: Run, *, accept: str | None = None) -> Result:
    """Fail with what was changed outside the migrations since the last run, or take it as it is.

    Parameters:
        accept: why it is right; recorded with who said so.
    """
    result = Result("drift", run.run_id)
    with reported(result), opened(run, result, locked=accept is not None) as session:
        lines = looks.differences(session)
        if lines and accept is None:
            raise looks.drifted(lines)
        result.data = looks.bounded(lines)
        if lines and accept is not None:
            looks.accept(session, accept, lines)
            result.changed = True
    return result
