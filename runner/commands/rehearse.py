"""`runner rehearse`: what is pending is run on a copy, and how long it held what is measured.

What the result tells are numbers, names of files and relations, and SQLSTATEs: a copy has the data
of production, and whoever reads a rehearsal may not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from psycopg2 import errorcodes

from runner.commands.copies import copied, name_of, refuse_the_same
from runner.commands.validate import refuse_reaching
from runner.database.connection import connect
from runner.engine.drift import schema
from runner.engine.migrate import look, migrate
from runner.engine.plan import Policy
from runner.engine.run import Run, opened, reported
from runner.errors import MigrationFailed, NeedsAttention, Refused, RunnerError
from runner.files.folder import Migration, read_folder
from runner.report import wording
from runner.report.text import error_lines
from runner.result import Applied, Rehearsal, Result
from runner.syntax.modes import SHARE, level, words

if TYPE_CHECKING:
    from runner.engine.job import Job
    from runner.engine.progress import Progress

_STOPS_WRITES = level(SHARE)
# In place of a copy's URL: the target is a copy already, which somebody made to rehearse on.
ITSELF = object()
_ALONE = "rehearse them on a copy of the whole server, and name it: --copy URL"

_USED = """
    select temp_bytes, pg_catalog.pg_database_size(datid)
    from pg_catalog.pg_stat_database where datname = pg_catalog.current_database()
"""


class _Discreet:
    """Tells who watches what happens, and nothing that the server says: it may be of the data."""

    def __init__(self, progress: Progress):
        self._progress = progress

    def notices(self, job: Job, texts: list[str]) -> None:
        """Keep them back."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._progress, name)


class Limits(NamedTuple):
    """What a rehearsal may show; None: anything.

    `held` is how long a lock that stops writes may be held, in milliseconds, of tables from
    `above` on, in bytes; `took` is how long all may take, in milliseconds.
    """

    held: int | None = None
    above: int = 0
    took: int | None = None


def rehearse(
    database: Callable[[str | None], Run], policy: Policy, limits: Limits, *, copy: object
) -> Result:
    """Run what is pending on a copy of the target, and measure it.

    Parameters:
        database: gives the run on a URL, None: on the target.
        limits: what makes the rehearsal fail.
        copy: the URL of a copy that somebody made; ITSELF: the target is one, and what the server
            says goes to its log; None: one is made, and dropped.
    """
    run = database(None)
    result = Result("rehearse", run.run_id)
    with reported(result):
        with _on(run, database, copy) as there:
            if not copy:
                refuse_reaching(_pending(there, policy), "rehearsed", fix=_ALONE)
            quiet = there if copy is ITSELF else _discreet(there)
            found, error = _measured(quiet, policy, result)
        if not copy:  # it is gone, and its name told nobody anything
            result.target = {**result.target, "dbname": name_of(run)}
        result.planned, result.data = True, found
        if error:
            if copy is ITSELF:
                run.conduct.progress.note("\n".join(error_lines(error.document())))
            raise _without_data(error)
        found["over"] = list(_over(found, limits))
        if found["over"]:
            raise Refused(
                f"the rehearsal went over {wording.many(len(found['over']), 'limit')}",
                details=tuple(found["over"]),
                fix="runner lint shows the safe way of risky statements; or raise the limit",
            )
    return result


def nothing_rehearsed(run_id: str, why: str) -> Result:
    """Return the result of a rehearsal for which nothing is there yet."""
    result = Result("rehearse", run_id)
    result.planned = True
    found: Rehearsal = {
        "files": [], "duration_ms": 0, "temporary_bytes": 0, "grown_bytes": 0, "fingerprint": "",
        "over": [],
    }  # fmt: skip
    result.data = found
    result.warnings.append(why)
    return result


@contextmanager
def _on(run: Run, database: Callable[[str | None], Run], copy: object) -> Iterator[Run]:
    """Give the run on a copy; what somebody made is none of ours to drop."""
    if copy is ITSELF:
        yield run
    elif isinstance(copy, str):
        refuse_the_same(run, there := database(copy))
        yield there
    else:
        with copied(run) as there:
            yield there


def _discreet(run: Run) -> Run:
    """Return the run, of which who watches hears nothing that is of the data."""
    discreet = cast("Progress", _Discreet(run.conduct.progress))
    return run._replace(conduct=run.conduct._replace(progress=discreet))


def _pending(there: Run, policy: Policy) -> list[Migration]:
    """Return the files that migrate would run."""
    planned, _ = look(there, policy)
    if planned.error:
        raise planned.error
    names = {task["file"] for task in planned.pending}
    folder = read_folder(there.sql_dir)
    return [file for file in (*folder.versioned, *folder.repeatable) if file.name in names]


def _measured(there: Run, policy: Policy, result: Result) -> tuple[Rehearsal, RunnerError | None]:
    """Return what running the files on a copy showed, and how it failed if it did."""
    temp, before = _used(there)
    done = migrate(there, policy, on_drift="ignore")
    result.target = done.target
    temp_after, after = _used(there)
    with opened(there, Result("rehearse", there.run_id), locked=False) as session:
        fingerprint = schema(session).fingerprint
    found: Rehearsal = {
        "files": [{**entry, "notices": []} for entry in done.applied],
        "duration_ms": sum(entry["duration_ms"] for entry in done.applied),
        "temporary_bytes": temp_after - temp,
        "grown_bytes": after - before,
        "fingerprint": fingerprint,
        "over": [],
    }
    result.await_tasks(done.pending)
    return found, done.error


def _used(run: Run) -> tuple[int, int]:
    """Return the bytes of temporary files that the database has written, and its size."""
    with closing(connect(run.target, run_id=run.run_id, wait=run.connect_wait)) as connection:
        cursor = connection.cursor()
        cursor.execute(_USED)
        row: tuple[int, int] | None = cursor.fetchone()
        return row or (0, 0)


def _over(found: Rehearsal, limits: Limits) -> Iterator[str]:
    """Yield what went over the limits."""
    for file in found["files"]:
        yield from _held_too_long(file, limits)
    if limits.took is not None and found["duration_ms"] > limits.took:
        took, most = map(wording.duration, (found["duration_ms"], limits.took))
        yield f"all files took {took}, and {most} is the limit"


def _held_too_long(file: Applied, limits: Limits) -> Iterator[str]:
    held = file.get("held_ms")
    if limits.held is None or held is None or held <= limits.held:
        return
    most = f"{wording.duration(limits.held)} is the limit"
    if limits.above:
        most += f" from {wording.size(limits.above)} on"
    for lock in file.get("locks", []):
        if level(lock["mode"]) >= _STOPS_WRITES and lock.get("bytes", 0) >= limits.above:
            yield (
                f"{file['file']} held {words(lock['mode'])} on {lock['relation']} for"
                f" {wording.duration(held)}, and {most}"
            )


def _without_data(error: RunnerError) -> RunnerError:
    """Return an error that says where and of which kind, and nothing of what the data is."""
    if not isinstance(error, (MigrationFailed, NeedsAttention)) or not error.sqlstate:
        return error
    state = errorcodes.lookup(error.sqlstate).lower().replace("_", " ")
    return MigrationFailed(
        f"it failed on the copy: {state}",
        file=error.file,
        line=error.line,
        column=error.column,
        excerpt=error.excerpt,
        sqlstate=error.sqlstate,
        fix="mend the file; what the server said of the data is in its own log",
    )
