"""What is said between a fleet and the processes that work for it: a line of JSON each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runner.errors import Error
from runner.fleet.targets import Item
from runner.result import Member, MemberState

_ONE_LINE = 300  # characters of an error in a line

# What is said of a target by the kind of its error; of any other: it failed.
_STATES: dict[str, MemberState] = {
    "unreachable": "unreachable", "validation": "differs", "incomplete": "incomplete",
}  # fmt: skip


class Asked(NamedTuple):
    """What is to be done in every target; `options` are those of the command, as JSON has them.

    `url`, `schema` and `extensions` are what the targets have in common, `files` is the digest of
    the folder's files: all get the same. The waits are seconds, the timeout is milliseconds,
    `throttle` is a `Throttle` as JSON has it.
    """

    command: str
    run_id: str
    sql_dir: str
    files: str
    url: str | None
    schema: str | None
    extensions: str | None
    connect_wait: float
    lock_wait: float
    lock_timeout: int
    lock_attempts: int
    throttle: Sequence[Any]
    options: Mapping[str, Any]


class Answer(NamedTuple):
    """What came of a target: its entry in the result, and what only the list of answers has.

    `digest` is that of all targets in its state, `files` what would run there, `folder` the digest
    of the files that it was given, where that is not known before; `carried` that of those that
    are all in force after a migrate, `held` how many it left for later.
    """

    member: Member
    digest: str | None = None
    files: tuple[str, ...] = ()
    error: Error | None = None
    warnings: tuple[str, ...] = ()
    folder: str | None = None
    carried: str | None = None
    held: int = 0


def untold(item: Item, state: MemberState) -> Member:
    """Return the entry of a target of which nothing more is known."""
    return {
        "name": item.name,
        "target": {"schema": item.schema} if item.schema else {},
        "state": state,
        "exit_code": None,
        "version": None,
        "applied": 0,
        "pending": 0,
        "duration_ms": 0,
        "error": None,
    }


def state_of(error: Error) -> MemberState:
    """Return what is said of a target with an error."""
    return _STATES.get(error["kind"], "failed")


def one_line(error: Error) -> str:
    """Return an error in a line: where, what, and of several the first."""
    place = f"{Path(error['file']).name}: " if error.get("file") else ""
    details = "" if place else "".join(f": {line}" for line in error["details"][:1])
    return shortened(f"{place}{error['message']}{details}")


def shortened(text: str) -> str:
    """Return the beginning of a text, on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= _ONE_LINE else f"{flat[:_ONE_LINE]} …"
