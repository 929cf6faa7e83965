"""The command line: arguments in, result out on stdout, progress on stderr."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.arguments import parser
from runner.errors import ConfigurationError, RunnerError
from runner.report import text as report
from runner.result import Result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = parser().parse_args(arguments)
    try:
        document = _run(options)
    except RunnerError as error:
        result = Result(options.command, options.run_id or "-")
        result.error = error
        document = result.document()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    _print(document, options)
    return int(document["exit_code"])


def _run(options: argparse.Namespace) -> dict[str, Any]:
    from runner.commands import table as commands  # noqa: PLC0415 - each command imports what it needs, no more

    run_id = options.run_id or commands.new_run_id()
    offline = _OFFLINE.get(options.command)
    if offline:
        return offline(options, run_id)
    chosen = {
        name: value
        for name in commands.COMMANDS[options.command][1]
        if (value := getattr(options, name, None)) is not None
    }
    return commands.perform(options.command, _database(options, run_id), chosen).document()


def _new(options: argparse.Namespace, run_id: str) -> dict[str, Any]:
    from runner.commands.new import new  # noqa: PLC0415

    result = Result("new", run_id)
    result.data = [str(path) for path in new(options.sql_dir, options.name)]
    result.changed = True
    return result.document()


def _invoke(options: argparse.Namespace, run_id: str) -> dict[str, Any]:
    from runner.commands.invoke import invoke  # noqa: PLC0415

    return invoke(
        options.function,
        run_id=run_id,
        command=options.invoked,
        options=_pairs(options.option),
        progress=_say,
    )


def _lint(options: argparse.Namespace, run_id: str) -> dict[str, Any]:
    from runner.lint.rules import lint  # noqa: PLC0415

    version = options.server_version
    return lint(options.sql_dir, run_id, base=options.base, server_version=version).document()


def _report(options: argparse.Namespace, run_id: str) -> dict[str, Any]:
    from runner.commands.report import publish  # noqa: PLC0415

    return publish(options.result, run_id, options.output, options.markdown).document()


def _validate(options: argparse.Namespace, run_id: str) -> dict[str, Any]:
    from runner.commands import status  # noqa: PLC0415

    run = _database(options, run_id) if options.against_database else None
    return status.validate(run, options.sql_dir, run_id).document()


def _verify(options: argparse.Namespace, run_id: str) -> dict[str, Any]:
    """Verify on the given server or, where none is given, on an embedded one of our own."""
    from runner.commands import verify  # noqa: PLC0415
    from runner.database import connection  # noqa: PLC0415

    with contextlib.ExitStack() as stack:
        if not connection.is_given(options.database_url):
            # Only a checkout has the embedded server; the Lambda's zip has no use for it.
            from local.postgres import temporary_server  # noqa: PLC0415

            options.database_url = stack.enter_context(temporary_server()).url()
        run = _database(options, run_id)
        document = verify.verify(run, sample_rows=options.sample_rows).document()
    if options.evidence:
        _write(options.evidence, report.as_json(verify.evidence(document)))
    return document


# What is not one of commands.COMMANDS: it needs no database, or makes one.
_OFFLINE: dict[str, Callable[[argparse.Namespace, str], dict[str, Any]]] = {
    "new": _new,
    "invoke": _invoke,
    "lint": _lint,
    "report": _report,
    "validate": _validate,
    "verify": _verify,
}


def _database(options: argparse.Namespace, run_id: str) -> Any:
    from runner.database import connection  # noqa: PLC0415
    from runner.database.session import Deadline  # noqa: PLC0415
    from runner.engine.attempt import Conduct, Settings  # noqa: PLC0415
    from runner.engine.run import Run  # noqa: PLC0415
    from runner.files.directives import milliseconds  # noqa: PLC0415

    milliseconds(options.lock_timeout)
    if options.lock_attempts < 1:
        raise ConfigurationError("--lock-attempts takes a number from 1")
    return Run(
        target=connection.target(options.database_url),
        sql_dir=options.sql_dir,
        run_id=run_id,
        conduct=Conduct(
            Settings(options.lock_timeout, options.lock_attempts),
            Deadline(options.deadline),
            _Terminal(),
        ),
        connect_wait=options.connect_wait,
        lock_wait=options.lock_wait,
    )


def _pairs(texts: Sequence[str]) -> dict[str, Any]:
    """Return the options of an invoked command: name=value, or a bare name for a switch."""
    pairs: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        number = value.isdigit() and name in {"steps", "limit"}
        pairs[name.replace("-", "_")] = (int(value) if number else value) if equals else True
    return pairs


def _print(document: Mapping[str, Any], options: argparse.Namespace) -> None:
    if options.junit:
        from runner.report import junit  # noqa: PLC0415

        junit.write(document, options.junit)
    if options.save:
        _write(options.save, report.as_json(document))
    if options.json:
        print(report.as_json(document))
        return
    for line in _data(document):
        print(line)
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    print(report.as_text(document, colour=colour))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n", encoding="utf-8")


def _data(document: Mapping[str, Any]) -> list[str]:
    data = document["data"]
    if not data or (
        document["outcome"] == "planned" and document["command"] not in {"repair", "adopt"}
    ):
        return []
    columns: tuple[str, ...]
    if document["command"] == "lint":
        from runner.lint.rules import lines  # noqa: PLC0415

        return lines(data)
    if document["command"] == "status":
        columns = ("version", "description", "state", "undo", "applied_at", "applied_by")
        return report.table(columns, [_cells(entry, columns) for entry in data])
    if document["command"] == "verify":
        columns = ("version", "description", "undo", "proved", "irreversible")
        return report.table(columns, [_cells(entry, columns) for entry in data["migrations"]])
    if document["command"] == "history":
        columns = ("at", "action", "version", "description", "by", "run_id", "duration_ms")
        return report.table(columns, [_cells(entry, columns) for entry in data])
    return [str(entry) for entry in data]


def _cells(entry: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    words = {None: "", True: "yes", False: "no"}
    return [
        words[value] if value is None or isinstance(value, bool) else str(value)
        for value in (entry[column] for column in columns)
    ]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _Terminal:
    """Progress on stderr; a running clock only where somebody watches."""

    def __init__(self) -> None:
        self.wants_ticks = sys.stderr.isatty()

    def note(self, text: str) -> None:
        _say(self._clear() + text)

    def started(self, job: Any) -> None:
        if self.wants_ticks:
            print(f"  {job.migration.name} …", end="", file=sys.stderr, flush=True)

    def tick(self, job: Any, seconds: float) -> None:
        clock = report.duration(seconds * 1000)
        line = f"{self._clear()}  {job.migration.name} … {clock}"
        print(line, end="", file=sys.stderr, flush=True)

    def notices(self, job: Any, texts: list[str]) -> None:
        for text in texts:
            _say(f"{self._clear()}{job.migration.name}: {text}")

    def finished(self, job: Any, duration_ms: int) -> None:
        _say(f"{self._clear()}  {job.migration.name} ({report.duration(duration_ms)})")

    def _clear(self) -> str:
        return "\r\033[K" if self.wants_ticks else ""
