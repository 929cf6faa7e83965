"""The command line: arguments in, result out on stdout, progress on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from runner import streams
from runner.arguments import Arguments, Usage, parse
from runner.commands.command import Context
from runner.commands.table import COMMANDS, OF_A_RUN, new_run_id
from runner.deadline import Deadline
from runner.errors import CODES, ConfigurationError, Interrupted, RunnerError, extra
from runner.report import text, wording
from runner.report.columns import cut
from runner.result import Document, Result
from runner.signals import handled, held
from runner.streams import write

if TYPE_CHECKING:
    from runner.database.connection import Target
    from runner.engine.job import Job
    from runner.engine.run import Run
    from runner.result import Backfill


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        with handled():
            streams.ensure()
            return _main(arguments)
    except KeyboardInterrupt:  # before there was anything to tell, or after it was told
        _say("interrupted")
        return CODES["interrupted"]


def _main(arguments: Sequence[str] | None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        asked = parse(arguments)
    except RunnerError as error:
        return _refuse(arguments, error)
    run_id, terminal = asked.shared["run_id"] or new_run_id(), _Terminal()
    document, saved = _told(asked, run_id, terminal)
    if saved and _asks(asked, document):
        if not _agreed():
            _say("nothing was done")
            return CODES["interrupted"]
        given = asked.command.agreed(asked.options, document)
        document, saved = _told(asked._replace(options=given), run_id, terminal)
    return document["exit_code"] if saved else document["exit_code"] or 1


def _told(asked: Arguments, run_id: str, terminal: _Terminal) -> tuple[Document, bool]:
    """Do what is asked and print what came of it; return that, and whether it could be written."""
    try:
        _look_ahead(asked)
        with ExitStack() as stack:
            document = asked.command.run(_context(asked, run_id, stack, terminal), asked.options)
    except RunnerError as error:
        document = _failed(asked.command.name, run_id, error)
    except KeyboardInterrupt:
        document = _failed(asked.command.name, run_id, Interrupted("interrupted", fix="run again"))
    with held():
        return document, _print(document, asked, terminal)


def _asks(asked: Arguments, document: Document) -> bool:
    """Return whether a command only said what it would do, and somebody is there to answer."""
    asks = asked.command.asks and document["outcome"] == "planned"
    if not asks or asked.shared["json"] or not (document["pending"] or wording.said(document)):
        return False
    return all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def _agreed() -> bool:
    """Ask whether it is to be done; an answer that never comes is no."""
    _say("do it now? [y/N] ", end="")
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):  # as Ctrl-D leaves the line
        _say("")
    return answer.strip().lower() in {"y", "yes"}


def _refuse(arguments: Sequence[str], error: RunnerError) -> int:
    """Say why a command line cannot be read; it may still ask for the result document."""
    if "--json" in arguments:
        command = next((word for word in arguments if word in COMMANDS), "-")
        write(sys.stdout, text.as_json(_failed(command, "-", error)))
    elif isinstance(error, Usage):
        _say(f"{error.usage}runner: error: {error.message}")
    else:
        _say("\n".join(text.error_lines(error.document())))
    return error.exit_code


def _failed(command: str, run_id: str, error: RunnerError) -> Document:
    result = Result(command, run_id)
    result.error = error
    return result.document()


def _context(asked: Arguments, run_id: str, stack: ExitStack, terminal: _Terminal) -> Context:
    """Return what the command may use; a server that runs meanwhile is on the stack."""
    shared = asked.shared
    given, own = shared["database_url"], shared["embedded"]

    def database(url: str | None) -> Run:
        from runner.database.connection import patience, target  # noqa: PLC0415 - not offline
        from runner.engine.conduct import Conduct  # noqa: PLC0415
        from runner.engine.run import Run  # noqa: PLC0415
        from runner.engine.throttle import Throttle  # noqa: PLC0415

        to = _embedded(stack, given) if own and not url else target(url or given)
        to = to._replace(schema=shared["schema"], extensions=shared["extension_schema"])
        wait = shared["connect_wait"]
        return Run(
            target=to,
            sql_dir=shared["sql_dir"],
            run_id=run_id,
            conduct=Conduct(
                Deadline(shared["deadline"]),
                terminal,
                lock_timeout=shared["lock_timeout"],
                lock_attempts=shared["lock_attempts"],
                throttle=Throttle(
                    shared["batch_pause"],
                    shared["batch_lag"],
                    shared["batch_active"],
                    shared["batch_hours"],
                ),
            ),
            connect_wait=patience(to) if wait is None else wait,
            lock_wait=shared["lock_wait"],
        )

    given_url, deadline = shared["database_url"], shared["deadline"]
    of_a_run = tuple(
        each.flag for each in OF_A_RUN if shared[each.name] not in (each.default, False)
    )
    return Context(run_id, shared["sql_dir"], database, _say, given_url, deadline, own=of_a_run)


def _embedded(stack: ExitStack, url: str | None) -> Target:
    """Return the database that this folder keeps, whatever the environment says of others."""
    from runner.database.connection import is_given, target  # noqa: PLC0415

    if is_given(url):
        raise ConfigurationError(
            "both a database and --embedded are given: which is meant?",
            fix="leave out --embedded, or --database-url, DATABASE_URL and PG…",
        )
    with extra("verify", what="--embedded"):
        from runner.embedded.kept import kept_database  # noqa: PLC0415 - not in the Lambda

    return target(stack.enter_context(kept_database(Path(".postgres"))), {})


def _look_ahead(asked: Arguments) -> None:
    """Refuse, before the work, a file that the result cannot be written to after it."""
    for path in filter(None, (asked.shared["save"], asked.shared["junit"])):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file() or path.is_dir():
                path.open("a").close()
            elif not path.exists():  # a pipe is opened once only
                path.touch()
                path.unlink()
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error


def _print(document: Document, asked: Arguments, terminal: _Terminal) -> bool:
    """Print the result, then write it where that is asked for; return whether that succeeded."""
    terminal.ended()
    command = COMMANDS.get(document["command"], asked.command)  # invoke answers with another's
    if asked.shared["json"]:
        shown = text.as_json(document)
    else:
        screen = _screen(terminal.told)._replace(asked=_asks(asked, document))
        shown = command.text(document, screen)
    unwritten = write(sys.stdout, shown)
    try:
        if asked.shared["junit"]:
            from runner.report import junit  # noqa: PLC0415

            junit.write(document, asked.shared["junit"], command.last_line(document))
        if asked.shared["save"]:
            text.write_text(asked.shared["save"], text.as_json(document))
    except OSError as error:
        unwritten = f"{error.filename or 'the result'}: {error.strerror}"
    if unwritten:
        _say(f"the result cannot be written: {unwritten}")
    return not unwritten


def _screen(told: Sequence[str]) -> text.Screen:
    """Return what stdout is; what was told on the same terminal need not be said there again."""
    if not sys.stdout.isatty():
        return text.PAPER
    return text.Screen(
        colour=not os.environ.get("NO_COLOR"),
        width=_columns(),
        told=frozenset(told if sys.stderr.isatty() else ()),
    )


def _columns() -> int:
    import shutil  # noqa: PLC0415 - only where somebody looks

    return shutil.get_terminal_size().columns


def _say(text: str, end: str = "\n") -> None:
    write(sys.stderr, text, end)


class _Terminal:
    """Progress on stderr: each file once, with its number; a running clock where somebody looks."""

    def __init__(self) -> None:
        self.wants_ticks = sys.stderr.isatty()
        self.told: list[str] = []
        self._of = 0
        self._shown = False
        self._far = ""  # of the backfill that runs
        self._said = time.monotonic()

    def planned(self, count: int) -> None:
        self._of = count

    def note(self, text: str) -> None:
        _say(self._clear() + wording.clean(text))

    def started(self, job: Job) -> None:
        self._far = ""
        if self.wants_ticks:
            self._show(job, "…")

    def tick(self, job: Job, seconds: float) -> None:
        took = wording.duration(seconds * 1000)
        self._show(job, f"… {self._far}, this batch {took}" if self._far else f"… {took}")

    def moved(self, job: Job, backfill: Backfill) -> None:
        self._far = wording.briefly(backfill)
        if self.wants_ticks:
            self._show(job, f"… {self._far}")
        elif time.monotonic() - self._said >= wording.OFTEN:
            self._said = time.monotonic()
            _say(self._line(job, f"… {wording.backfill(backfill)}"))

    def notices(self, job: Job, texts: list[str]) -> None:
        for said in texts:
            _say(self._clear() + wording.clean(f"{job.migration.name}: {said}"))

    def finished(self, job: Job, duration_ms: int) -> None:
        _say(self._clear() + self._line(job, f"({wording.duration(duration_ms)})"))
        self.told.append(job.migration.name)

    def ended(self) -> None:
        """Take away the line of a file that began and did not end."""
        if self._shown:
            _say(self._clear(), end="")

    def _show(self, job: Job, end: str) -> None:
        """Show a line that the next one replaces, which one that is broken is not."""
        _say(self._clear() + cut(self._line(job, end), _columns() - 1), end="")
        self._shown = True

    def _line(self, job: Job, end: str) -> str:
        number = f"{len(self.told) + 1} of {self._of}".rjust(2 * len(str(self._of)) + 4)
        return f"  {number}  {wording.clean(job.migration.name)} {end}"

    def _clear(self) -> str:
        cleared = "\r\033[K" if self._shown else ""
        self._shown = False
        return cleared
