"""A folder of another tool's: its files, their lines, and what of them cannot be taken over."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from runner.errors import ConfigurationError
from runner.files.folder import slug
from runner.syntax.scanner import scan


class Line(NamedTuple):
    """A line with its end, and its number in the file that it comes from."""

    number: int
    text: str


class Part(NamedTuple):
    """What becomes one file: the name it gets, where it comes from, and its lines.

    `transactional`: whether the other tool runs it in a transaction.
    """

    target: str
    source: str
    lines: tuple[Line, ...]
    transactional: bool = True

    @property
    def text(self) -> str:
        """Its SQL."""
        return "".join(line.text for line in self.lines)

    @property
    def place(self) -> str:
        """Where it begins, as file and line."""
        return f"{self.source}:{self.lines[0].number if self.lines else 1}"

    def is_empty(self) -> bool:
        """Return whether it holds no statement."""
        return next(scan(self.text), None) is None


class Source:
    """The folder; `problems` gathers what cannot be taken over, `notes` what need not be.

    Raises:
        ConfigurationError: there is no such folder.
    """

    def __init__(self, folder: Path):
        if not folder.is_dir():
            raise ConfigurationError(f"no folder {folder}", fix="name the one with its migrations")
        self.folder = folder
        self.problems: list[str] = []
        self.notes: list[str] = []

    def refuse(self, name: str, line: int, why: str) -> None:
        """Note what cannot be taken over."""
        self.problems.append(f"{self.folder / name}:{line}: {why}")

    def names(self, *endings: str, deep: bool = False) -> list[str]:
        """Return the files that end so, in order; what begins with a dot is hidden.

        Parameters:
            deep: also of the folders below, as paths with slashes.
        """
        found = self._below("") if deep else self._here()
        return sorted(name for name in found if name.endswith(endings or ".sql"))

    def folders(self) -> list[str]:
        """Return the folders that are not hidden, in order."""
        entries = self.folder.iterdir()
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))

    def has(self, name: str) -> bool:
        """Return whether there is a file of this name."""
        return (self.folder / name).is_file()

    def lines(self, name: str) -> tuple[Line, ...]:
        """Return a file's lines, none where it is not UTF-8, which is noted."""
        content = (self.folder / name).read_bytes()
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self.refuse(name, content.count(b"\n", 0, error.start) + 1, "not UTF-8: save it so")
            return ()
        # A line ends with \n, \r\n or \r, and with nothing else.
        return tuple(Line(*each) for each in enumerate(io.StringIO(text, newline=""), 1))

    def _here(self) -> Iterable[str]:
        return (entry.name for entry in self.folder.iterdir() if _shown_file(entry))

    def _below(self, below: str) -> Iterator[str]:
        for entry in (self.folder / below).iterdir():
            if _shown_file(entry):
                yield f"{below}{entry.name}"
            elif entry.is_dir() and not entry.name.startswith("."):
                yield from self._below(f"{below}{entry.name}/")


def _shown_file(entry: Path) -> bool:
    return entry.is_file() and not entry.name.startswith(".")


def target(kind: str, version: str, title: str) -> str:
    """Return our name for a file.

    Parameters:
        kind: V, U or R, which has no version.
        title: becomes lower-case words.
    """
    return f"{kind}{version}__{slug(title) or 'unnamed'}.sql"
