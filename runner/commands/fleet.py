"""`runner fleet`: migrate, plan and status of many targets at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, cast

from runner.commands.command import Context
from runner.commands.ways import Way, here, there
from runner.engine.run import reported
from runner.errors import CODES, ConfigurationError, Incomplete, Interrupted, RunnerError
from runner.fleet.coordinator import Coordinator
from runner.fleet.machine import Machine
from runner.fleet.targets import Item
from runner.fleet.work import Answer, one_line, untold
from runner.report.wording import and_more, clean, counted_targets, duration, many
from runner.result import Fleet, Group, Member, Plan, Result

_SHOWN = 20  # targets that an error names
_EXAMPLES = 5  # names of a group
_CLOSER = 5  # groups that are looked at more closely
# Errors that the document has whole, and characters of each further one: with the first it has some
# 3 MB at 10,000 failed targets, and at some 20,000 it would be over the 6 MB that a Lambda answers.
_WHOLE, _CUT = 1_000, 80
_CODES: dict[str, int] = {"differs": 6, "drifted": 6, "behind": 8}


class FleetFailed(RunnerError):
    """Something came of some targets that was not wanted; its exit code is the first one's."""

    def __init__(self, message: str, code: int, *, fix: str, details: tuple[str, ...]):
        super().__init__(message, fix=fix, details=details)
        self.kind = next(kind for kind, number in CODES.items() if number == code)


def fleet(
    context: Context,
    command: str,
    options: Mapping[str, Any],
    *,
    wanted: frozenset[str],
) -> Result:
    """Do the same in many targets.

    Parameters:
        command: "migrate", "plan" or "status".
        options: who the targets are, how many are worked on at once, and what the command is to
            do in each of them.
        wanted: the states that are no failure.

    Returns:
        the result, whose data says what came of each.
    """
    result = Result(f"fleet {command}", context.run_id)
    with reported(result):
        if options.get("state_machine"):
            if context.own:
                said = ", ".join(context.own)
                result.warnings.append(f"{said}: not heeded, a machine's functions have their own")
            way = there(context, command, options)
        else:
            way = here(context, command, options)
        found = _Found(result, way.items, way.files, _say(context, len(way.items)))
        with found.written_to(options.get("results")):
            for ended in way.ended:
                found.take(ended.item, ended.answer)
        found.finish()
        _look_closer(result, found.data["groups"], way)
        result.planned = command == "plan"
        result.changed = command == "migrate" and any(
            member["applied"] for member in found.data["members"]
        )
        _judge(found.data["members"], wanted, way.coordinator)
    return result


def _look_closer(result: Result, groups: Sequence[Group], way: Way) -> None:
    """Have one target of each group planned in full: who approves it wants to see SQL.

    Where nothing is to run one of all tells which runner is there.
    """
    of_name = {item.name: item for item in way.items}
    for group in ([group for group in groups if group["files"]] or groups[:1])[:_CLOSER]:
        # The first ones are those that can be asked.
        group["examples"].sort(key=lambda name: not way.answers(of_name[name]))
        name = group["examples"][0]
        if not way.answers(of_name[name]):
            continue
        try:
            document = way.planned(of_name[name])
            error = document["error"]
        except RunnerError as raised:
            error = raised.document()
        if error:
            result.warnings.append(f"{name} could not be planned in full: {one_line(error)}")
        elif not _is_of(found := cast(Plan, document["data"]), group):
            result.warnings.append(f"{name} could not be planned in full: it was changed meanwhile")
        else:
            group["plan"] = found


def _is_of(found: Plan, group: Group) -> bool:
    """Return whether a plan is of a group's state; of many files a line has the first only."""
    files, wanted = [file["file"] for file in found["files"]], group["files"]
    return files[: len(wanted)] == wanted and bool(files) == bool(wanted)


class _Found:
    """What came of the targets so far, in the result's data and in a list of answers."""

    def __init__(self, result: Result, items: list[Item], files: str, say: Any):
        self._places = {item.name: place for place, item in enumerate(items)}
        self._groups: dict[str, Group] = {}
        self._result, self._say, self._count = result, say, 0
        self._warnings: dict[str, tuple[str, int]] = {}
        self._more = self._errors = self._held = 0
        self._carried: dict[bool, str | None] = {}
        self._list: FileIO | None = None
        members = [untold(item, "not started") for item in items]
        self.data: Fleet = {"files": files, "groups": [], "members": members}
        result.data = self.data

    @contextmanager
    def written_to(self, path: Path | None) -> Iterator[None]:
        """Also write each answer to a file, a line of JSON as soon as it is there."""
        if path is None:
            yield
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._list = path.open("wb", buffering=0)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
        with self._list:
            yield

    def take(self, item: Item, answer: Answer) -> None:
        """Take what came of a target."""
        member = answer.member
        self.data["members"][self._places[item.name]] = member
        self._count += 1
        self.data["files"] = self.data["files"] or answer.folder or ""
        self._say(self._count, member)
        self._bound(member)
        # The same files have two digests: with those that wait for the new code, and without.
        waits = answer.held > 0
        self._carried[waits] = answer.carried and self._carried.get(waits, answer.carried)
        self._held = max(self._held, answer.held)
        if self._list:
            more = {"error": answer.error, "warnings": answer.warnings, "files": answer.files}
            line = {**member, "digest": answer.digest, **more}
            self._write(f"{json.dumps(line)}\n".encode())
        if answer.digest:
            self._grouped(answer.digest, answer)
        for warning in answer.warnings:
            self._warned(item, warning)

    def _bound(self, member: Member) -> None:
        """Cut the error of a target where many have one: the list of answers has all in full."""
        self._errors += member["error"] is not None
        if self._errors > _WHOLE and member["error"]:
            member["error"] = member["error"][:_CUT]

    def _write(self, line: bytes) -> None:
        """Add a line to the list; that it cannot be written is no reason to stop the work."""
        try:
            self._list.write(line)  # type: ignore[union-attr] # who asks has looked
        except OSError as error:
            self._result.warnings.append(f"--results is not whole: {error.strerror}")
            self._list = None

    def _warned(self, item: Item, warning: str) -> None:
        """Take a warning; one that others have too, but for the schema, is told once."""
        same = warning.replace(f"schema {item.schema}", "schema …")
        if same in self._warnings or len(self._warnings) < _SHOWN:
            said, count = self._warnings.get(same, (f"{item.name}: {warning}", 0))
            self._warnings[same] = said, count + 1
        else:
            self._more += 1

    def _grouped(self, digest: str, answer: Answer) -> None:
        group = self._groups.setdefault(
            digest,
            {
                "digest": digest,
                "version": answer.member["version"],
                "files": list(answer.files),
                "targets": 0,
                "examples": [],
                "held": answer.held,
            },
        )
        group["targets"] += 1
        if len(group["examples"]) < _EXAMPLES:
            group["examples"].append(answer.member["name"])

    def finish(self) -> None:
        """Put what is known of all into the result."""
        told = [
            f"{said} (and so in {many(count - 1, 'other target')})" if count > 1 else said
            for said, count in self._warnings.values()
        ]
        if self._errors > _WHOLE:
            self._result.warnings.append(
                f"{self._errors:,} targets have an error: {self._errors - _WHOLE:,} are cut here,"
                " and in full in --results"
            )
        self._result.warnings += and_more(told, self._more, "warnings: see --results")
        groups = sorted(self._groups.values(), key=lambda group: -group["targets"])
        self.data["groups"] = groups
        if self._result.command == "fleet migrate" and self._count == len(self._places):
            self.data["held"] = self._held
            if carried := all(self._carried.values()) and self._carried[self._held > 0]:
                self.data["carried"] = carried


def _say(context: Context, total: int) -> Any:
    width = len(f"{total:,}")

    def say(count: int, member: Member) -> None:
        said = member["error"] or _in_words(member)
        took = duration(member["duration_ms"])
        state = member["state"]
        text = f"{count:>{width},} of {total:,}  {member['name']}: {state}"
        context.progress(clean(f"{text}{': ' if said else ''}{said} ({took})"))

    return say


def _in_words(member: Member) -> str:
    said = [f"at {member['version']}"] if member["version"] else []
    said += [f"{many(member['applied'], 'file')} applied"] if member["applied"] else []
    said += [f"{many(member['pending'], 'file')} to run"] if member["pending"] else []
    return ", ".join(said)


def _judge(
    members: list[Member], wanted: frozenset[str], coordinator: Coordinator | Machine
) -> None:
    """Raise what the states of a fleet mean.

    Raises:
        FleetFailed: some are not as they should be.
        Interrupted, Incomplete: some were not started, and those that were are.
    """
    bad = [m for m in members if m["state"] not in {*wanted, "not started"}]
    bad.sort(key=lambda member: member["state"] == "incomplete")  # what failed says more
    left = len(coordinator.waiting)
    said = counted_targets(members)
    fix = "look at the first of them; mended, run again: what is done costs a look"
    if bad:
        lines = [f"{m['name']}: {m['state']}: {m['error'] or _in_words(m)}" for m in bad[:_SHOWN]]
        raise FleetFailed(
            f"{said}{f' ({coordinator.stopped})' if coordinator.stopped else ''}",
            bad[0]["exit_code"] or _CODES.get(bad[0]["state"], 1),
            fix=fix,
            details=tuple(and_more(lines, len(bad) - _SHOWN, "targets")),
        )
    if left:
        kind = Interrupted if coordinator.interrupted else Incomplete
        raise kind(f"{said} ({coordinator.stopped})", fix="run again: it goes on with the others")
