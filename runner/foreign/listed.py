"""Tools whose order is written down, and whose files get numbers here: sqitch, Liquibase."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from runner.foreign.source import Line, Part, Source, target

_PLAN = "sqitch.plan"


class _Planned(NamedTuple):
    """A change of sqitch's plan, and the tags that follow it until its name comes again."""

    line: int
    name: str
    tags: list[str]


def sqitch(source: Source) -> Iterator[Part]:
    """Read deploy/ and revert/ in the order of sqitch.plan."""
    if not source.has(_PLAN):
        source.refuse(_PLAN, 1, "it is not there: name the folder that has it")
        return
    plan = _plan(source)
    if "verify" in source.folders():
        source.notes.append("verify/ is left out: runner verify proves what a way back restores")
    for number, change in enumerate(plan, 1):
        version = _number(number, len(plan))
        again = any(later.name == change.name for later in plan[number:])
        deploy = _script(source, "deploy", change, again=again)
        revert = _script(source, "revert", change, again=again)
        if not source.has(deploy):
            source.refuse(_PLAN, change.line, f"{deploy} is not there")
            continue
        yield Part(target("V", version, change.name), deploy, source.lines(deploy))
        if source.has(revert):
            yield Part(target("U", version, change.name), revert, source.lines(revert))


def _plan(source: Source) -> list[_Planned]:
    """Return the changes in their order."""
    plan: list[_Planned] = []
    for number, text in source.lines(_PLAN):
        entry = re.sub(r"\s*#.*", "", text.strip())
        if not entry or entry.startswith("%"):
            continue
        if not re.fullmatch(r"[@+]?[^\s\[@:#+%-][^\s\[@:#]*(?:\s.*)?", entry):
            source.refuse(_PLAN, number, "neither a change nor a tag")
            continue
        name = entry.split()[0]
        if name.startswith("@"):
            for change in plan:
                change.tags.append(name)
        else:
            name = name.removeprefix("+")
            plan.append(_Planned(number, name, []))
    return plan


def _script(source: Source, folder: str, change: _Planned, *, again: bool) -> str:
    """Return the script of a change: of one that comes again, the copy that a tag names."""
    plain = f"{folder}/{change.name}.sql"
    if not again:
        return plain
    copies = [f"{folder}/{change.name}{tag}.sql" for tag in change.tags]
    return next(filter(source.has, copies), f"{folder}/{change.name}@….sql")


def _number(number: int, count: int) -> str:
    return str(number).zfill(max(3, len(str(count))))


_first = re.compile(r"\s*--\s*liquibase\s+formatted\s+sql", re.IGNORECASE).match
_changeset = re.compile(
    r"\s*--\s*changeset\s+(\"[^\"]+\"|[^:]+):\s*(\"[^\"]+\"|\S+)(.*)", re.IGNORECASE | re.DOTALL
).fullmatch
_rollback = re.compile(r"\s*--\s*rollback\s(.*)", re.IGNORECASE | re.DOTALL).fullmatch
_rollback_block = re.compile(r"\s*/\*\s*liquibase\s+rollback\s*", re.IGNORECASE).fullmatch
_refused = re.compile(
    r"\s*--\s*(preconditions?\b|property\b|ignoreLines\b|ignore:|changeset\b|rollback\b|include)",
    re.IGNORECASE,
).match
_attribute = re.compile(r"(\w+):(\"[^\"]*\"|\S*)").findall
_comment = re.compile(r"\s*(?:--|$)").match

# What a changeset may say of itself; None: whatever it says changes nothing here.
_KNOWN = {
    "splitstatements": None, "rollbacksplitstatements": None, "stripcomments": None,
    "logicalfilepath": None, "runintransaction": {"true", "false"},
    "runonchange": {"true", "false"},
    "failonerror": {"true"}, "runalways": {"false"}, "ignore": {"false"}, "enddelimiter": {";"},
    "dbms": {"postgresql"},
}  # fmt: skip


class _Changeset(NamedTuple):
    """One changeset; `back` are the lines of its way back."""

    source: str
    id: str
    attributes: dict[str, str]
    lines: list[Line]
    back: list[Line]

    def parts(self, version: str) -> Iterator[Part]:
        alone = self.attributes.get("runintransaction") == "false"
        ways = [("V", self.lines), ("U", self.back)]
        if self.repeats:
            version, ways = "", [("R", self.lines)]
        for kind, lines in ways:
            if lines or kind != "U":
                yield Part(target(kind, version, self.id), self.source, tuple(lines), not alone)

    @property
    def repeats(self) -> bool:
        return self.attributes.get("runonchange") == "true"


def liquibase(source: Source) -> Iterator[Part]:
    """Read formatted SQL, file by file in alphabetical order as includeAll does."""
    for name in source.names(".xml", ".yaml", ".yml", ".json", deep=True):
        source.refuse(name, 1, "only formatted SQL is read: name a folder that has nothing else")
    found = [each for name in source.names(deep=True) for each in _changesets(source, name)]
    count = sum(not changeset.repeats for changeset in found)
    number = 0
    for changeset in found:
        number += not changeset.repeats
        yield from changeset.parts(_number(number, count))


def _changesets(source: Source, name: str) -> list[_Changeset]:
    lines = source.lines(name)
    if not lines or not _first(lines[0].text):
        source.refuse(name, 1, "its first line is not '--liquibase formatted sql'")
        return []
    found: list[_Changeset] = []
    block = False  # inside a comment that holds a way back
    for line in lines[1:]:
        if "${" in line.text:
            source.refuse(name, line.number, "a parameter: write the value in its place")
        if block:
            block = not line.text.rstrip().endswith("*/")
            found[-1].back.append(line._replace(text=re.sub(r"\*/\s*$", "\n", line.text)))
        elif begun := _changeset(line.text):
            attributes = _attributes(source, name, line.number, begun[3])
            found.append(_Changeset(name, begun[2].strip('"'), attributes, [], []))
        elif not found:
            if not _comment(line.text) or _refused(line.text):
                source.refuse(name, line.number, "above the first changeset")
        elif _rollback_block(line.text):
            block = True
        else:
            _within(source, found[-1], line)
    return found


def _attributes(source: Source, name: str, line: int, text: str) -> dict[str, str]:
    found = {key.lower(): value.strip('"').lower() for key, value in _attribute(text)}
    for key, value in found.items():
        accepted = _KNOWN.get(key, set())
        if accepted is not None and not accepted.intersection(value.split(",")):
            source.refuse(name, line, f"{key}:{value} cannot be taken over")
    return found


def _within(source: Source, changeset: _Changeset, line: Line) -> None:
    """Take a line of a changeset for the way it belongs to."""
    back = _rollback(line.text)
    if back is None:
        if _refused(line.text):
            source.refuse(
                changeset.source, line.number, f"{line.text.strip()!r} cannot be taken over"
            )
        changeset.lines.append(line)
    elif re.match(r"changesetid:", back[1], re.IGNORECASE):
        source.refuse(changeset.source, line.number, "a way back that is another changeset")
    elif back[1].strip().lower() in ("empty", "not required"):
        changeset.back.append(line._replace(text="select 1;\n"))
    else:
        changeset.back.append(line._replace(text=back[1]))
