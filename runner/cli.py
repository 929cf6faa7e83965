"""The command line: arguments in, result out on stdout, progress on stderr."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runner import report
from runner.errors import EXIT_CODES, ConfigurationError, RunnerError
from runner.result import Result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        document = _run(options)
    except RunnerError as error:
        result = Result(options.command, options.run_id or "-")
        result.error = error
        document = result.document()
    except KeyboardInterrupt:
        print("interrupted: the running file was rolled back", file=sys.stderr)
        return 130
    _print(document, options)
    return int(document["exit_code"])


def _run(options: argparse.Namespace) -> dict[str, Any]:
    """Run the command; what a command does not need is not imported for it."""
    from runner import commands, status  # noqa: PLC0415

    run_id = options.run_id or commands.new_run_id()
    if options.command == "new":
        from runner.scaffold import new  # noqa: PLC0415

        result = Result("new", run_id)
        result.data = [str(path) for path in new(options.sql_dir, options.name)]
        result.changed = True
        return result.document()
    if options.command == "invoke":
        from runner.invoke import invoke  # noqa: PLC0415

        return invoke(
            options.function,
            run_id=run_id,
            command=options.invoked,
            options=_pairs(options.option),
            progress=_say,
        )
    if options.command == "lint":
        from runner.lint import lint  # noqa: PLC0415

        version = options.server_version
        return lint(options.sql_dir, run_id, base=options.base, server_version=version).document()
    if options.command == "report":
        from runner.publish import publish  # noqa: PLC0415

        return publish(options.result, run_id, options.output, options.markdown).document()
    if options.command == "validate":
        run = _database(options, run_id) if options.against_database else None
        return status.validate(run, options.sql_dir, run_id).document()
    if options.command == "verify":
        return _verify(options, run_id)
    chosen = {
        name: value
        for name in commands.COMMANDS[options.command][1]
        if (value := getattr(options, name, None)) is not None
    }
    return commands.perform(options.command, _database(options, run_id), chosen).document()


def _verify(options: argparse.Namespace, run_id: str) -> dict[str, Any]:
    """Verify on the given server or, where none is given, on an embedded one of our own."""
    from runner import connection, verify  # noqa: PLC0415

    with contextlib.ExitStack() as stack:
        if not connection.is_given(options.database_url):
            # Only a checkout has the embedded server; the Lambda's zip has no use for it.
            from local.postgres import temporary_server  # noqa: PLC0415

            options.database_url = stack.enter_context(temporary_server()).url()
        run = _database(options, run_id)
        document = verify.verify(run, sample_rows=options.sample_rows).document()
    if options.evidence:
        options.evidence.parent.mkdir(parents=True, exist_ok=True)
        options.evidence.write_text(report.as_json(verify.evidence(document)) + "\n")
    return document


def _database(options: argparse.Namespace, run_id: str) -> Any:
    from runner import connection  # noqa: PLC0415
    from runner.engine import Run  # noqa: PLC0415
    from runner.migration import milliseconds  # noqa: PLC0415
    from runner.running import Conduct, Settings  # noqa: PLC0415
    from runner.session import Deadline  # noqa: PLC0415

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
    if getattr(options, "junit", None):
        from runner import junit  # noqa: PLC0415

        junit.write(document, options.junit)
    if options.json:
        print(report.as_json(document))
        return
    for line in _data(document):
        print(line)
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    print(report.as_text(document, colour=colour))


def _data(document: Mapping[str, Any]) -> list[str]:
    data = document["data"]
    if not data or (
        document["outcome"] == "planned" and document["command"] not in {"repair", "adopt"}
    ):
        return []
    columns: tuple[str, ...]
    if document["command"] == "lint":
        from runner.lint import lines  # noqa: PLC0415

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


def _parser() -> argparse.ArgumentParser:
    codes = "\n".join(f"  {code}  {text}" for code, text in EXIT_CODES.items())
    parser = argparse.ArgumentParser(
        prog="runner",
        description="Apply numbered SQL files to PostgreSQL, each in a transaction, each once.",
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _common(parser, top=True)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        _common(command, top=False)
        return command

    _add_migrate(add("migrate", "apply what is pending"))
    rollback = add("rollback", "undo the newest versions with their U files")
    which = rollback.add_mutually_exclusive_group(required=True)
    which.add_argument("--to", metavar="V", help="the version that is the newest afterwards")
    which.add_argument("--steps", type=int, metavar="N", help="how many versions to undo")
    rollback.add_argument("--dry-run", action="store_true", help="print the SQL, run nothing")
    status = add("status", "list every migration with its state")
    status.add_argument(
        "--check", action="store_true", help="exit 6 where files and history differ, 8 if pending"
    )
    status.add_argument(
        "--drift", action="store_true", help="exit 6 where the schema was changed by other means"
    )
    history = add("history", "list what was done, undone, repaired: by whom, when, in which run")
    history.add_argument("--limit", type=int, default=50, metavar="N", help="newest N (50)")
    validate = add("validate", "check every file, offline")
    validate.add_argument(
        "--against-database", action="store_true", help="and the files against the history"
    )
    verify = add("verify", "prove on a scratch database that every migration can be undone")
    verify.add_argument(
        "--sample-rows", action="store_true", help="also on tables with rows; names what gets lost"
    )
    verify.add_argument("--junit", type=Path, metavar="FILE", help="also write JUnit XML")
    verify.add_argument("--evidence", type=Path, metavar="FILE", help="write what was proved")
    lint = add("lint", "hold the files against the rules of squawk and our own, offline")
    lint.add_argument("--base", metavar="REF", help="a git commit to be merged into: origin/main")
    lint.add_argument("--server-version", default="17", metavar="N", help="the target's (17)")
    published = add("report", "turn a result (of --json) into a page or a comment")
    published.add_argument("result", metavar="RESULT.json", help="'-' is stdin")
    published.add_argument("-o", "--output", type=Path, metavar="FILE", help="the HTML page")
    published.add_argument("--markdown", type=Path, metavar="FILE", help="Markdown, for a comment")
    add("new", "make the next V and U file").add_argument("name", metavar="NAME")
    baseline = add("baseline", "take everything up to a version as applied")
    baseline.add_argument("version", metavar="V")
    adopt = add("adopt", "take over another tool's history: says what, then --yes")
    adopt.add_argument(
        "tool", metavar="TOOL", help="flyway, golang-migrate, dbmate, pgmigrate, knex, alembic"
    )
    adopt.add_argument("--at", metavar="V", help="the newest file whose changes are there")
    adopt.add_argument("--yes", action="store_true", help="do it")
    _add_repair(add("repair", "make the history fit, after you have looked; says what, then --yes"))
    _add_invoke(add("invoke", "run a command in the Lambda; fails unless success is proved"))
    return parser


def _common(parser: argparse.ArgumentParser, *, top: bool) -> None:
    """Add the options that may stand before or after the command."""

    def default(value: Any) -> Any:
        return value if top else argparse.SUPPRESS

    group = parser.add_argument_group("target and output")
    add = group.add_argument
    add("--database-url", metavar="URL", default=default(None),
        help="else DATABASE_URL, else PG*; keep passwords in ~/.pgpass or a secret")  # fmt: skip
    add("--sql-dir", metavar="DIR", type=Path, default=default(Path("sql")), help="sql")
    add("--json", action="store_true", default=default(False), help="the result document")
    add("--run-id", metavar="ID", default=default(None), help="recorded with what the run does")
    group = parser.add_argument_group("time")
    add = group.add_argument
    add("--deadline", metavar="S", type=float, default=default(None),
        help="seconds after which the run must have stopped (none)")  # fmt: skip
    add("--connect-wait", metavar="S", type=float, default=default(60.0),
        help="seconds to wait for a server that does not answer (60)")  # fmt: skip
    add("--lock-wait", metavar="S", type=float, default=default(600.0),
        help="seconds to wait for another run (600)")  # fmt: skip
    add("--lock-timeout", metavar="T", default=default("2s"),
        help="how long a migration waits for a table's lock before it gives way (2s)")  # fmt: skip
    add("--lock-attempts", metavar="N", type=int, default=default(10),
        help="how often it tries, with growing pauses (10)")  # fmt: skip


def _add_migrate(migrate: argparse.ArgumentParser) -> None:
    migrate.add_argument("--target", metavar="V", help="the last version to apply")
    migrate.add_argument("--dry-run", action="store_true", help="print the SQL, run nothing")
    migrate.add_argument(
        "--single-transaction", action="store_true", help="all pending files in one transaction"
    )
    migrate.add_argument(
        "--allow-out-of-order", action="store_true", help="apply versions older than the newest"
    )
    migrate.add_argument(
        "--on-drift", choices=("warn", "fail", "ignore"),
        help="what to do about changes made outside the migrations (warn)",
    )  # fmt: skip
    migrate.add_argument(
        "--allow-ahead", action="store_true", help="accept a database newer than every file"
    )


def _add_repair(repair: argparse.ArgumentParser) -> None:
    which = repair.add_mutually_exclusive_group()
    which.add_argument("--done", metavar="V", help="the statement in doubt took effect")
    which.add_argument("--again", metavar="V", help="the statement in doubt did not")
    which.add_argument("--forget", metavar="V", help="take a version out of the history")
    repair.add_argument("--yes", action="store_true", help="do it")


def _add_invoke(invoke: argparse.ArgumentParser) -> None:
    invoke.add_argument("--function", required=True, metavar="NAME", help="name or ARN")
    invoke.add_argument(
        "--junit", type=Path, metavar="FILE", help="also write the result as JUnit XML"
    )
    invoke.add_argument("invoked", nargs="?", default="migrate", metavar="COMMAND", help="migrate")
    invoke.add_argument(
        "--option", action="append", default=[], metavar="NAME[=VALUE]",
        help="an option of that command",
    )  # fmt: skip
