"""One run in a target: what it needs to know, its session, and how what goes wrong is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg2
from psycopg2 import errorcodes

from runner.database.connection import Target
from runner.database.interrupt import cancelling
from runner.database.session import Session
from runner.database.watch import cut_at
from runner.engine import lock
from runner.engine.conduct import Conduct
from runner.errors import ConfigurationError, Incomplete, Interrupted, RunnerError, Unreachable
from runner.history import owner
from runner.result import Result

if TYPE_CHECKING:
    from runner.engine.job import Job
    from runner.files.folder import Folder


class Files(NamedTuple):
    """A folder that is read once for many targets.

    `checked` is what a look at its files has found, by their names; it grows with what is planned.
    """

    folder: Folder
    checked: dict[str, Job]


class Run(NamedTuple):
    """What every command needs to know.

    `connect_wait` and `lock_wait` are seconds. `asked` is the text of a call that may come twice:
    under the same run id it is done once. `create_schema`: the target's schema may be made.
    `files`: what was read of the folder for other targets.
    """

    target: Target
    sql_dir: Path
    run_id: str
    conduct: Conduct
    connect_wait: float = 60.0
    lock_wait: float = 600.0
    asked: str | None = None
    create_schema: bool = False
    files: Files | None = None


@contextmanager
def reported(result: Result) -> Iterator[None]:
    """Put what goes wrong inside into the result: an error of ours never loses what was done."""
    try:
        yield
    except RunnerError as error:
        result.error = error
    except KeyboardInterrupt:
        result.error = Interrupted("interrupted", fix="run again")
    except psycopg2.Error as error:  # of a statement of ours, outside of any file
        result.error = _refused(error)


def _refused(error: psycopg2.Error) -> RunnerError:
    state = error.pgcode or errorcodes.CONNECTION_EXCEPTION
    kind = RunnerError
    if state.startswith((errorcodes.CLASS_CONNECTION_EXCEPTION, "57P")):
        kind = Unreachable
    elif state == errorcodes.INSUFFICIENT_PRIVILEGE:
        kind = ConfigurationError
    return kind(
        f"the database refused: {str(error).strip()}",
        fix="mend that and run again; runner status tells where it stands",
    )


def _missing(run: Run, session: Session, *, locked: bool) -> list[str]:
    """Return what is to be said of a schema that is not there.

    Raises:
        ConfigurationError: something is to be written in it, and nobody asked for it to be made.
    """
    if session.has_schema():
        return []
    said = f"there is no schema {run.target.schema} in {session.server.database}"
    if not locked:
        return [f"{said} yet: migrate --create-schema makes it"]
    if not run.create_schema:
        raise ConfigurationError(
            said, fix="is the name right? a new one is made by migrate --create-schema"
        )
    return [f"{said} yet: it is made"]


@contextmanager
def opened(run: Run, result: Result, *, locked: bool, what: str = lock.RUN) -> Iterator[Session]:
    """Open a session to the target, with the runner's lock where something may be written.

    Without the lock the session is read-only, whatever is sent.

    Parameters:
        what: the lock is for.
    """
    result.target = run.target.describe()
    progress, deadline = run.conduct.progress.note, run.conduct.deadline
    left = deadline.left()
    wait = run.connect_wait if left is None else min(run.connect_wait, left)
    session = Session(
        run.target,
        run_id=run.run_id,
        wait=wait,
        read_only=not locked,
        patience=left,
        progress=progress,
        prepare=partial(
            owner.prepare,
            target=run.target,
            run_id=run.run_id,
            wait=wait,
            read_only=not locked,
        ),
    )
    try:
        result.target = {
            **result.target,
            "dbname": session.server.database,
            "user": session.server.login,
            "server_version": session.server.version_text,
        }
        with cancelling(session.connection), cut_at(session.connection, deadline.left()):
            if locked:
                lock.take(
                    session, wait=run.lock_wait, deadline=deadline, progress=progress, what=what
                )
            result.warnings += _missing(run, session, locked=locked)
            yield session
    except psycopg2.errors.LockNotAvailable as error:  # of a statement of ours
        raise lock.unavailable(session, error) from error
    except psycopg2.Error as error:
        if deadline.passed():  # the statement was ended for it, or the connection cut
            raise Incomplete(
                "the deadline came while the database was looked at",
                fix="run again with more time; runner status tells where it stands",
            ) from error
        raise
    finally:
        session.close()
