"""The command line's arguments and help."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner.errors import EXIT_CODES


def parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    codes = "\n".join(f"  {code}  {text}" for code, text in EXIT_CODES.items())
    top = argparse.ArgumentParser(
        prog="runner",
        description="Apply numbered SQL files to PostgreSQL, each in a transaction, each once.",
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _common(top, top=True)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        _common(command, top=False)
        return command

    _add_running(add)
    _add_looking(add)
    _add_files(add)
    _add_history(add)
    _add_invoke(add("invoke", "run a command in the Lambda; fails unless success is proved"))
    return top


# Adds a command by its name and what it does.
_Add = Callable[[str, str], argparse.ArgumentParser]


def _add_running(add: _Add) -> None:
    _add_migrate(add("migrate", "apply what is pending"))
    _add_policy(add("plan", "show what migrate would do here: SQL, locks, sizes, risk, digest"))
    rollback = add("rollback", "undo the newest versions with their U files")
    which = rollback.add_mutually_exclusive_group(required=True)
    which.add_argument("--to", metavar="V", help="the version that is the newest afterwards")
    which.add_argument("--steps", type=int, metavar="N", help="how many versions to undo")
    rollback.add_argument("--dry-run", action="store_true", help="print the SQL, run nothing")


def _add_looking(add: _Add) -> None:
    status = add("status", "list every migration with its state")
    status.add_argument(
        "--check", action="store_true", help="exit 6 where files and history differ, 8 if pending"
    )
    status.add_argument(
        "--drift", action="store_true", help="exit 6 where the schema was changed by other means"
    )
    history = add("history", "list what was done, undone, repaired: by whom, when, in which run")
    history.add_argument("--limit", type=int, default=50, metavar="N", help="newest N (50)")


def _add_files(add: _Add) -> None:
    validate = add("validate", "check every file, offline")
    validate.add_argument(
        "--against-database", action="store_true", help="and the files against the history"
    )
    verify = add("verify", "prove on a scratch database that every migration can be undone")
    verify.add_argument(
        "--sample-rows", action="store_true", help="also on tables with rows; names what gets lost"
    )
    verify.add_argument("--evidence", type=Path, metavar="FILE", help="write what was proved")
    lint = add("lint", "hold the files against the rules of squawk and our own, offline")
    lint.add_argument("--base", metavar="REF", help="a git commit to be merged into: origin/main")
    lint.add_argument("--server-version", default="17", metavar="N", help="the target's (17)")
    published = add("report", "turn a result (of --json) into a page or a comment")
    published.add_argument("result", metavar="RESULT.json", help="'-' is stdin")
    published.add_argument("-o", "--output", type=Path, metavar="FILE", help="the HTML page")
    published.add_argument("--markdown", type=Path, metavar="FILE", help="Markdown, for a comment")
    add("new", "make the next V and U file").add_argument("name", metavar="NAME")


def _add_history(add: _Add) -> None:
    baseline = add("baseline", "take everything up to a version as applied")
    baseline.add_argument("version", metavar="V")
    adopt = add("adopt", "take over another tool's history: says what, then --yes")
    adopt.add_argument(
        "tool", metavar="TOOL", help="flyway, golang-migrate, dbmate, pgmigrate, knex, alembic"
    )
    adopt.add_argument("--at", metavar="V", help="the newest file whose changes are there")
    adopt.add_argument("--yes", action="store_true", help="do it")
    _add_repair(add("repair", "make the history fit, after you have looked; says what, then --yes"))


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
    add("--save", metavar="FILE", type=Path, default=default(None),
        help="also write the result document, for runner report")  # fmt: skip
    add("--junit", metavar="FILE", type=Path, default=default(None),
        help="also write the result as JUnit XML")  # fmt: skip
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
    _add_policy(migrate)
    add = migrate.add_argument
    add("--dry-run", action="store_true", help="print the SQL, run nothing")
    add("--single-transaction", action="store_true", help="all pending files in one transaction")
    add("--plan-digest", metavar="D", help="run only the plan of this digest (see plan)")
    add("--on-drift", choices=("warn", "fail", "ignore"),
        help="what to do about changes made outside the migrations (warn)")  # fmt: skip


def _add_policy(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--target", metavar="V", help="the last version to apply")
    add("--allow-out-of-order", action="store_true", help="apply versions older than the newest")
    add("--allow-ahead", action="store_true", help="accept a database newer than every file")


def _add_repair(repair: argparse.ArgumentParser) -> None:
    which = repair.add_mutually_exclusive_group()
    which.add_argument("--done", metavar="V", help="the statement in doubt took effect")
    which.add_argument("--again", metavar="V", help="the statement in doubt did not")
    which.add_argument("--forget", metavar="V", help="take a version out of the history")
    repair.add_argument("--yes", action="store_true", help="do it")


def _add_invoke(invoke: argparse.ArgumentParser) -> None:
    invoke.add_argument("--function", required=True, metavar="NAME", help="name or ARN")
    invoke.add_argument("invoked", nargs="?", default="migrate", metavar="COMMAND", help="migrate")
    invoke.add_argument(
        "--option", action="append", default=[], metavar="NAME[=VALUE]",
        help="an option of that command",
    )  # fmt: skip
