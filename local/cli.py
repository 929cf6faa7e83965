"""Commands of the local stack, each one call into the package."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from local.errors import LocalError
from local.postgres import embedded_bin_dir
from local.stack import Stack
from local.state import ACCOUNT, CLONE, State

_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status, 2 with one line when it cannot be done."""
    parsed = _parser().parse_args(arguments)
    stack = Stack(State(parsed.state.absolute()), parsed.accounts.split(","))
    command: Callable[[Stack, argparse.Namespace], int] = parsed.call
    try:
        return command(stack, parsed)
    except LocalError as error:
        sys.stderr.write(f"local: {error}\n")
        return _USAGE
    except KeyboardInterrupt:
        sys.stderr.write("local: interrupted; run it again to go on\n")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("--state", type=Path, default=CLONE / ".local", help="folder of the stack")
    parser.add_argument(
        "--accounts", default=ACCOUNT, help="accounts that host a pipeline, separated by commas"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, call, text in (
        ("start", _start, "start the emulators only"),
        ("down", _down, "stop everything; data stays in the state folder"),
        ("status", _status, "what runs"),
        ("env", _env, "the environment of AWS clients, as lines for a shell"),
        ("psql", _psql, "open psql on the local database"),
    ):
        commands.add_parser(name, help=text).set_defaults(call=call)
    return parser


def _start(stack: Stack, _: argparse.Namespace) -> int:
    stack.up()
    return _status(stack, _)


def _down(stack: Stack, _: argparse.Namespace) -> int:
    stack.down()
    return 0


def _status(stack: Stack, _: argparse.Namespace) -> int:
    sys.stdout.write("\n".join(stack.status()) + "\n")
    return 0


def _env(stack: Stack, _: argparse.Namespace) -> int:
    stack.state.make()
    sys.stdout.write(stack.exports())
    return 0


def _psql(stack: Stack, _: argparse.Namespace) -> int:
    url, pgpass = stack.database()
    os.environ["PGPASSFILE"] = str(pgpass)
    os.execv(embedded_bin_dir() / "psql", ["psql", url])  # noqa: S606 (psql takes the terminal)
