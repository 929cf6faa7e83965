"""Commands of the local stack, each one call into the package."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from local.ansible.warm import warm
from local.codebuild.pipeline import ask, run_pipeline
from local.errors import LocalError
from local.stack import Stack
from local.state import ACCOUNT, CLONE, State
from local.up import PIPELINE, environment, up, warmed
from runner.embedded import embedded_bin_dir
from runner.streams import write

_FAILED = 1
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
    _add_build(commands.add_parser("build", help="run a pipeline's actions as CodePipeline would"))
    for name, call, text in (
        ("up", _up, "the whole system: emulators, playbooks, migration (make local)"),
        ("start", _start, "start the emulators only"),
        ("down", _down, "stop everything; data stays in the state folder"),
        ("reset", _reset, "stop everything and forget it, data and all; the ports stay"),
        ("status", _status, "what runs"),
        ("env", _env, "the environment of AWS clients, as lines for a shell"),
        ("psql", _psql, "open psql on the local database"),
    ):
        commands.add_parser(name, help=text).set_defaults(call=call)
    return parser


def _add_build(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pipeline", default=PIPELINE, help=f"its name ({PIPELINE})")
    parser.add_argument("--account", default=ACCOUNT, help="the account that hosts it")
    parser.add_argument("--source", type=Path, default=CLONE, help="what to build: this clone")
    parser.add_argument(
        "--action", action="append", default=[], help="run only actions of this name"
    )
    parser.add_argument("--approve", action="store_true", help="say yes to every approval")
    parser.set_defaults(call=_build)


def _up(stack: Stack, _: argparse.Namespace) -> int:
    return 0 if up(stack) else _FAILED


def _build(stack: Stack, parsed: argparse.Namespace) -> int:
    with warm(environment(stack)) as python:
        green = run_pipeline(
            stack,
            parsed.pipeline,
            account=parsed.account,
            source=parsed.source.absolute(),
            only=parsed.action,
            approve=(lambda _: True) if parsed.approve else ask,
            image=warmed(python),
        )
    return 0 if green else _FAILED


def _start(stack: Stack, _: argparse.Namespace) -> int:
    stack.up()
    return _status(stack, _)


def _down(stack: Stack, _: argparse.Namespace) -> int:
    stack.down()
    return 0


def _reset(stack: Stack, _: argparse.Namespace) -> int:
    stack.reset()
    return 0


def _status(stack: Stack, _: argparse.Namespace) -> int:
    write(sys.stdout, "\n".join(stack.status()))
    return 0


def _env(stack: Stack, _: argparse.Namespace) -> int:
    stack.state.make()
    write(sys.stdout, stack.exports(), end="")
    return 0


def _psql(stack: Stack, _: argparse.Namespace) -> int:
    url, pgpass = stack.database()
    os.environ["PGPASSFILE"] = str(pgpass)
    os.execv(embedded_bin_dir() / "psql", ["psql", url])  # noqa: S606 (psql takes the terminal)
