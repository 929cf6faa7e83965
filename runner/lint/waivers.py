"""Waivers: on top of a file, or beside the files for those that must not be changed any more.

`waivers` in the folder has a line each, and comments that begin with #:

    V003__index_orders.sql require-concurrent-index-creation: the table has ten rows
    through 42: taken over from Flyway, and applied everywhere
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from runner.errors import ConfigurationError
from runner.files.folder import Folder, Version, canonical, parse_version
from runner.lint.findings import Found, Judged, Waiver

NAME = "waivers"

_ENTRY = re.compile(r"(?P<file>\S.*\.sql)\s+(?P<rule>[a-z0-9-]+)\s*:\s*(?P<why>\S.*)")
_THROUGH = re.compile(r"through\s+(?P<version>[0-9._]+)\s*:\s*(?P<why>\S.*)")
_FORM = "'V003__a.sql rule: why' or 'through 42: why' is expected"


class Waivers(NamedTuple):
    """What stands beside the files: waivers by the file's name, and the last version left out."""

    path: Path
    by_file: dict[str, list[Waiver]]
    through: Version = ()

    def leaves_out(self, source: Judged) -> bool:
        """Return whether a file is of the versions that are not held against the rules."""
        return source.migration.kind != "R" and source.migration.version <= self.through

    def of(self, source: Judged) -> list[Waiver]:
        """Return the waivers of a file, those on its top first."""
        return [*_on_top(source), *self.by_file.get(source.migration.name, ())]

    def strays(self, folder: Folder) -> Iterator[Found]:
        """Yield the waivers of files that are not there.

        Raises:
            ConfigurationError: it leaves out what has not been written yet.
        """
        newest = max((file.version for file in folder.versioned), default=())
        if self.through > newest:
            raise ConfigurationError(
                f"{self.path}: through {canonical(self.through)} is beyond the newest version,"
                f" {canonical(newest) or 'of which there is none'}",
                fix="name the last version that was applied before there were rules",
            )
        files = (*folder.versioned, *folder.undo.values(), *folder.repeatable)
        for name in self.by_file.keys() - {file.name for file in files}:
            for waiver in self.by_file[name]:
                yield waiver.unused(f"there is no file {name}", "remove the waiver")


def read_waivers(folder: Path) -> Waivers:
    """Read the waivers beside the files of a folder, none where it has none.

    Raises:
        ConfigurationError: with every line that is not one.
    """
    path = folder / NAME
    found = Waivers(path, {})
    problems = []
    lines = path.read_text("utf-8-sig").splitlines() if path.is_file() else []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            found = _with(found, line.strip(), number)
        except ConfigurationError as error:
            problems.append(f"{path}:{number}: {error.message}")
    if problems:
        raise ConfigurationError(
            f"{path} cannot be read", details=tuple(problems), fix="mend the lines named above"
        )
    return found


def _with(found: Waivers, line: str, number: int) -> Waivers:
    """Return the waivers with one more line."""
    if last := _THROUGH.fullmatch(line):
        if found.through:
            raise ConfigurationError("through is said twice")
        return found._replace(through=parse_version(last["version"]))
    entry = _ENTRY.fullmatch(line)
    if not entry:
        raise ConfigurationError(_FORM)
    waivers = found.by_file.setdefault(entry["file"], [])
    if any(waiver.rule == entry["rule"] for waiver in waivers):
        raise ConfigurationError(f"{entry['rule']} of {entry['file']} is waived twice")
    waivers.append(Waiver(entry["rule"], str(found.path), number, 1))
    return found


def _on_top(source: Judged) -> Iterator[Waiver]:
    for rule, _ in source.migration.directives.allow:
        yield Waiver(rule, str(source.migration.path), *_place(source.text, rule))


def _place(text: str, rule: str) -> tuple[int, int]:
    """Return line and column of the waiver of a rule."""
    waiver = re.compile(rf"\s*--[ \t]*runner:[ \t]*allow\s+{re.escape(rule)}\s*:", re.IGNORECASE)
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1):
        if waiver.match(line):
            return number, len(line) - len(line.lstrip()) + 1
    return 1, 1
