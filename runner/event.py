"""The Lambda's event: which command, for which run, and perhaps on which files.

    {"command": "plan", "run_id": "…", "options": {"target": "7"}, "files": "H4sI…"}

Options are those of the command line, with underscores. `files` are migrations to plan with in
place of those that the function carries, as data: nothing of them is run. They are a JSON object
of names and texts, compressed by gzip, in base64; or where that is too large for an event
`{"sha256": "…"}`, the object of this name and content in the function's own FILES_BUCKET.

`schema` is the option of that name: one schema of the function's database. SCHEMAS, in the
function's environment, names those that it serves, as a JSON array in which `*` stands for any
characters. Without it the function serves its database as a whole, and no schema; with it no call
without a schema.

`target` is an entry of a fleet's list of targets, in place of `schema`: what came of it is answered
in a line. `files` may be null, for a state machine always says something.

A rehearsal also says on which copy of the database, as `copy`: `host`, `port` and `secret_arn`. A
function for rehearsals can reach nothing else, and its role opens no other secret.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, get_args

from runner import bucket
from runner.commands.command import Command, Needs, Right, named_run
from runner.commands.table import COMMANDS, SHARED
from runner.errors import ConfigurationError
from runner.files.packing import MOST, unpacked
from runner.fleet.targets import Item, of_event

_KEYS = {"command", "run_id", "options", "files", "schema", "target", "copy"}
_FLEET = {"migrate", "plan", "status"}  # are done for a fleet
# What takes files: these run none, and a rehearsal runs them on a copy.
_TAKES = {"plan", "status", "rehearse"}
_LOGIN: Mapping[str, tuple[str, type]] = {
    "host": ("PGHOST", str), "port": ("PGPORT", int), "secret_arn": ("DATABASE_SECRET_ARN", str),
}  # fmt: skip


class Request(NamedTuple):
    """An event that was checked."""

    command: Command
    run_id: str
    options: dict[str, Any]
    files: Mapping[str, str] | None
    schema: str | None = None
    item: Item | None = None
    copy: Mapping[str, str] | None = None  # as variables say where a database is

    def asked(self) -> str:
        """Return what is asked as a text: the same for the same command and options."""
        return json.dumps([self.command.name, self.options], sort_keys=True, default=str)

    @contextmanager
    def folder(self, own: Path) -> Iterator[Path]:
        """Give the folder of the files to work with: those of the event, else our own."""
        if self.files is None:
            yield own
            return
        with tempfile.TemporaryDirectory(prefix="files-") as folder:
            for name, text in self.files.items():
                path = Path(folder, "sql", name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text.encode())
            Path(folder, "sql").mkdir(exist_ok=True)
            yield Path(folder, "sql")


def parse(event: Any, arn: str) -> Request:
    """Check an event.

    Parameters:
        arn: by which the function was called; its alias says what the caller may do.

    Raises:
        ConfigurationError: the event is not what a command takes, or the alias serves others.
    """
    if not isinstance(event, dict):
        raise ConfigurationError('the event is not an object such as {"command": "migrate"}')
    unknown = sorted(str(key) for key in set(event) - _KEYS)
    if unknown:
        raise ConfigurationError(f"the event has unknown keys: {', '.join(unknown)}")
    command, run_id = _command(event.get("command")), event.get("run_id")
    if not isinstance(run_id, str) or not run_id:
        raise ConfigurationError("the event has no run_id")
    named_run(run_id)
    _require(command, arn)
    options = event.get("options", {})
    if not isinstance(options, dict):
        raise ConfigurationError("the event's options are not an object")
    values, item = command.values(options), _item(command, event)
    schema = _served(item.schema if item else event.get("schema"))
    files, copy = _files(command, event.get("files")), _copy(command, event.get("copy"))
    return Request(command, run_id, values, files, schema, item, copy)


def _item(command: Command, event: Mapping[str, Any]) -> Item | None:
    """Return the target of a fleet that an event names, None where it names none."""
    if "target" not in event:
        return None
    if command.name not in _FLEET or "schema" in event:
        raise ConfigurationError(
            f"a fleet's target stands without a schema, for {', '.join(sorted(_FLEET))}"
        )
    return of_event(event["target"])


def _served(given: object) -> str | None:
    """Return the schema that is asked for, which is one that the function serves.

    IAM sees who calls which alias, and no schema: without this, who may migrate one tenant could
    make and change any schema of the database.
    """
    served = _schemas()
    if given is None:
        if served:
            raise ConfigurationError(
                f"this function serves the schemas {', '.join(served)}, and the call names none",
                fix="name one with --schema",
            )
        return None
    (option,) = (each for each in SHARED[Needs.DATABASE] if each.name == "schema")
    name: str = option.value(given)
    patterns = (re.escape(each).replace(r"\*", ".*") for each in served)
    if not any(re.fullmatch(pattern, name, re.DOTALL) for pattern in patterns):
        raise ConfigurationError(
            f"this function does not serve schema {name}: {', '.join(served) or 'it serves none'}",
            fix="name it in runner_schemas of the inventory, and deploy",
        )
    return name


def _schemas() -> list[str]:
    text = os.environ.get("SCHEMAS") or "[]"
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(each, str) and each for each in found):
        raise ConfigurationError("SCHEMAS of the function's environment is no JSON array of names")
    return found


def _copy(command: Command, given: object) -> Mapping[str, str] | None:
    """Return the variables that lead to the copy of a rehearsal, None for any other command."""
    if (given is None) == (command.name == "rehearse"):
        says = "needs a" if given is None else "takes no"
        raise ConfigurationError(f"{command.name} {says} copy to run on")
    if given is None:
        return None
    said = {k: v for k, v in given.items() if v is not None} if isinstance(given, dict) else {}
    if not {"host", "port"} <= set(said) <= set(_LOGIN) or not all(
        type(value) is _LOGIN[name][1] and value for name, value in said.items()
    ):
        raise ConfigurationError('the event\'s copy is not {"host": "…", "port": 5432, …}')
    return {_LOGIN[name][0]: str(value) for name, value in said.items()}


def _command(name: object) -> Command:
    known = {command.name: command for command in COMMANDS.values() if command.right}
    if not isinstance(name, str) or name not in known:
        raise ConfigurationError(f"unknown command {name!r}; known: {', '.join(known)}")
    return known[name]


def _require(command: Command, arn: str) -> None:
    """Raise unless the alias by which the function was called serves a command.

    IAM sees who calls which alias, and nothing of the event.
    """
    alias = arn.split(":")[7] if arn.count(":") == 7 else None  # noqa: PLR2004 - fields of an ARN
    if alias != command.right:
        called = f"by its alias {alias}" if alias in get_args(Right) else "without a known alias"
        raise ConfigurationError(
            f"{command.name} is not served to who calls the function {called}",
            fix=f"call {arn.split(':')[6] if arn.count(':') > 5 else arn}:{command.right}",  # noqa: PLR2004
        )


def _files(command: Command, given: object) -> Mapping[str, str] | None:
    if given is None:
        return None
    if command.name not in _TAKES:
        raise ConfigurationError(f"{command.name} takes no files: it runs those of the function")
    return unpacked(_object(given) if isinstance(given, dict) else _decoded(str(given)))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigurationError(f"the event's files cannot be read: {error}") from error


def _object(given: Mapping[Any, Any]) -> bytes:
    """Fetch what is too large for an event, from the one bucket that the function takes it from."""
    name = given.get("sha256")
    if set(given) != {"sha256"} or not re.fullmatch("[0-9a-f]{64}", str(name)):
        raise ConfigurationError('the event\'s files are neither a text nor {"sha256": "…"}')
    if not (of := os.environ.get("FILES_BUCKET")):
        raise ConfigurationError("this function takes no files by S3: it has no FILES_BUCKET")
    return bucket.get(of, str(name), most=MOST)
