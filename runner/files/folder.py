"""Migration files: names, versions, checksums.

Everything here is offline and pure but for reading the folder.
"""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from runner.errors import ConfigurationError
from runner.files import directives
from runner.files.directives import Directives

Version = tuple[int, ...]

_NAME = re.compile(
    r"(?:(?P<kind>[VU])(?P<version>[0-9]+(?:[._][0-9]+)*)|R)__(?P<description>.+)\.sql"
)
_CHUNK = 1 << 20  # bytes read at a time while hashing
_decoder = codecs.getincrementaldecoder("utf-8")
_top = re.compile(r"(?>(?>[^\S\r\n]*)(?:--[^\r\n]*+)?(?:\r\n?|\n|\Z))*").match


class Migration(NamedTuple):
    """One file.

    `key` identifies it in the history: the version in canonical form for V and U files
    ("3", "1.2"), "R__<description>" for repeatables; `name` is its path below the folder.
    """

    kind: str
    version: Version
    key: str
    description: str
    folder: Path
    name: str
    checksum: str
    directives: Directives
    size: int = 0  # bytes

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self.folder / self.name

    def text(self) -> str:
        """Return the file's text as it is sent: BOM dropped, line ends untouched.

        Raises:
            ConfigurationError: it is not what it was when the folder was read.
        """
        try:
            content = self.path.read_bytes().removeprefix(codecs.BOM_UTF8)
        except OSError as error:
            raise gone(self, error) from error
        checksum = Checksum()
        checksum.add(content)
        if checksum.named() != self.checksum:
            raise changed(self)
        return content.decode("utf-8")


class Checksum:
    """The checksum of a text that comes in pieces, as the history keeps it.

    SHA-256 over UTF-8 with the BOM dropped and CRLF and CR as LF, so that a checkout on another
    system is the same migration.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._carry = b""

    def add(self, piece: bytes) -> None:
        """Take the next piece."""
        if self._carry or b"\r" in piece:
            piece = (self._carry + piece).replace(b"\r\n", b"\n")
            # A CR at the end may be the first half of a CRLF.
            self._carry = b"\r" if piece.endswith(b"\r") else b""
            piece = piece[: len(piece) - len(self._carry)].replace(b"\r", b"\n")
        self._digest.update(piece)

    def named(self) -> str:
        """Return it with its algorithm's name; nothing comes after that."""
        self._digest.update(self._carry.replace(b"\r", b"\n"))
        return f"sha256:{self._digest.hexdigest()}"


def gone(migration: Migration, error: OSError) -> ConfigurationError:
    """Return the error for a file that was there when the folder was read."""
    return ConfigurationError(
        f"{migration.name} cannot be read any more: {error.strerror}",
        fix="something else changes the folder: let it end, and run again",
    )


def changed(migration: Migration) -> ConfigurationError:
    """Return the error for a file that is not what it was when the folder was read."""
    return ConfigurationError(
        f"{migration.name} was changed while the runner was reading",
        fix="something else changes the folder: let it end, and run again",
    )


class Folder(NamedTuple):
    """The migrations of one folder, each kind in the order it would run."""

    versioned: tuple[Migration, ...]
    undo: dict[str, Migration]
    repeatable: tuple[Migration, ...]

    def by_key(self) -> dict[str, Migration]:
        """Return V and R files by their name in the history."""
        return {migration.key: migration for migration in (*self.versioned, *self.repeatable)}

    @property
    def prompt(self) -> tuple[Migration, ...]:
        """The V files that do not wait for the new code, in order."""
        held = {file.key for file in self.held}
        return tuple(file for file in self.versioned if file.key not in held)

    @property
    def held(self) -> tuple[Migration, ...]:
        """The V files that wait for it, and those that need one of them: they run last."""
        found: dict[str, Migration] = {}
        for file in self.versioned:
            needs = file.directives.needs
            if file.directives.after_deploy or (needs and canonical(parse_version(needs)) in found):
                found[file.key] = file
        return tuple(found.values())

    def digest(self, *, held: bool = True) -> str:
        """Return the digest of all files, by name and content: the same files have the same.

        Parameters:
            held: with those that wait for the new code.
        """
        left_out = set() if held else {file.key for file in self.held}
        files = (
            *(file for file in self.versioned if file.key not in left_out),
            *(file for key, file in self.undo.items() if key not in left_out),
            *self.repeatable,
        )
        content = sorted([composed(migration.name), migration.checksum] for migration in files)
        text = json.dumps(content, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def parse_version(text: str) -> Version:
    """Return the version as numbers: V003, V3 and V3.0 are one version.

    Raises:
        ConfigurationError: the text is not digits separated by dots or underscores.

    """
    if not re.fullmatch(r"[Vv]?[0-9]{1,4000}(?:[._][0-9]{1,4000})*", text):
        raise ConfigurationError(
            f"{text!r} is not a version", fix="a version is digits, dots allowed: 3, 003, 1.2"
        )
    if text.isdecimal():
        return (int(text),)
    numbers = [int(part) for part in re.split(r"[._]", text.lstrip("Vv"))]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def version_of(name: str) -> Version | None:
    """Return the version of a V file's name, None for any other name."""
    match = _NAME.fullmatch(name)
    return parse_version(match["version"]) if match and match["kind"] == "V" else None


def slug(text: str) -> str:
    """Return a text as the words of a file's name: in small letters, joined by underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def composed(text: str) -> str:
    """Return a text in the one of its forms that names are compared in: a Mac writes é as two."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def is_canonical(text: str) -> bool:
    """Return whether a text is a version as the history writes it."""
    try:
        return canonical(parse_version(text)) == text
    except (ConfigurationError, ValueError):  # more digits than Python makes a number of
        return False


def canonical(version: Version) -> str:
    """Return the version as the history writes it."""
    return ".".join(str(number) for number in version)


def read_folder(folder: Path) -> Folder:
    """Read every migration below a folder.

    Raises:
        ConfigurationError: with every problem of the folder at once.

    """
    if not folder.is_dir():
        raise ConfigurationError(
            f"no folder {folder}", fix="name it with --sql-dir, or make the first file: runner new"
        )
    problems: list[str] = []
    found: list[Migration] = []
    unread: list[str] = []
    for name in sorted(_names(str(folder), problems, folder.resolve())):
        try:
            found.append(_read(folder, name))
        except OSError as error:
            unread.append(name)
            problems.append(f"{folder / name}: cannot be read: {error.strerror}")
        except ConfigurationError as error:
            unread.append(name)
            problems.append(f"{folder / name}: {error.message}")
    there = {version_of(name.rpartition("/")[2]) for name in unread}
    result = _arrange(found, folder, problems, there)
    if problems:
        raise ConfigurationError(
            f"{len(problems)} problem{'s' * (len(problems) > 1)} in {folder}",
            details=tuple(problems),
            fix="mend the files named above; nothing was connected to or run",
        )
    return result


def _names(folder: str, problems: list[str], top: Path, below: str = "") -> Iterator[str]:
    """Yield the SQL files below a folder, as paths with slashes; what begins with a dot is hidden.

    What only looks like a migration is a problem: nothing else is passed over in silence.
    Strings, not Paths: with thousands of files these take longer than the files.
    """
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not entry.name.startswith(".")]
    except OSError as error:
        problems.append(f"{folder}: cannot be read: {error.strerror}")
        return
    for entry in entries:
        if problem := _strange(entry, top):
            problems.append(f"{shown(entry.path)}: {problem}")
        elif entry.is_dir(follow_symlinks=False):
            yield from _names(entry.path, problems, top, f"{below}{entry.name}/")
        elif entry.name.endswith(".sql"):
            yield below + entry.name


def _strange(entry: os.DirEntry[str], top: Path) -> str | None:
    """Return why an entry of the folder is neither a migration nor certainly none."""
    is_named = entry.name.lower().endswith(".sql")
    target = Path(os.path.realpath(entry.path)) if entry.is_symlink() else None
    if target and target.is_dir():
        return "a linked folder, whose files would be passed over: put them here"
    if not is_named:
        return None
    if shown(entry.name) != entry.name:
        return "its name is not UTF-8"
    if target and not target.is_relative_to(top):
        return "a link that leaves the folder: put the file itself here"
    return _no_file(entry)


def _no_file(entry: os.DirEntry[str]) -> str | None:
    if not entry.name.endswith(".sql"):
        return "its name must end in .sql, in small letters"
    with contextlib.suppress(OSError):  # a link to itself
        if entry.is_file():
            return None
    return "there is no file behind that name"


def shown(path: str) -> str:
    """Return a path as text that every output takes, whatever bytes its name has."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


# Why a file of another kind than V cannot wait for a deploy.
_NOT_HELD = {
    "U": "after deploy is for V files: rollback says when a U file runs",
    "R": "after deploy is for V files: a repeatable is what the code of now wants, at every run",
}


def _read(folder: Path, name: str) -> Migration:
    match = _NAME.fullmatch(name.rpartition("/")[2])
    if not match:
        raise ConfigurationError(
            "malformed name: V<version>__<description>.sql, U… or R__<description>.sql is expected"
        )
    checksum, head, size = _checksum(f"{folder}/{name}")
    kind, written, description = (
        match["kind"] or "R",
        match["version"],
        composed(match["description"]),
    )
    version = parse_version(written) if written else ()
    asked = directives.parse(head)
    if asked.after_deploy and kind != "V":
        raise ConfigurationError(_NOT_HELD[kind])
    if asked.batch and kind == "R":
        raise ConfigurationError("a repeatable runs as a whole: a backfill is a V or a U file")
    if asked.in_background and kind == "U":
        raise ConfigurationError("an undo is waited for: leave background out")
    if asked.batch and size > _CHUNK:
        raise ConfigurationError(
            "its text is sent for each batch, and is more than 1 MB: put rows into a table"
        )
    return Migration(
        kind=kind,
        version=version,
        key=canonical(version) if written else f"R__{description}",
        description=description.replace("_", " ").strip() if written else description,
        folder=folder,
        name=name,
        checksum=checksum,
        directives=asked,
        size=size,
    )


def _checksum(path: str) -> tuple[str, str, int]:
    """Return the checksum of a file, the comments at its top, and its bytes.

    It is read in pieces, so that size costs no memory.
    """
    checksum = Checksum()
    decoder = _decoder()
    head = ""
    offset = 0
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a third of the time for a small one
        piece = file.read(_CHUNK).removeprefix(codecs.BOM_UTF8)
        while piece:
            _refuse_bytes(piece, decoder, offset)
            head = head or _head(piece)
            offset += len(piece)
            checksum.add(piece)
            piece = file.read(_CHUNK)
    if decoder.getstate()[0]:
        raise ConfigurationError(f"not UTF-8: cut off at byte {offset}")
    return checksum.named(), head, offset


def _refuse_bytes(piece: bytes, decoder: codecs.IncrementalDecoder, offset: int) -> None:
    pending = len(decoder.getstate()[0])
    try:
        decoder.decode(piece)
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"not UTF-8: byte 0x{error.object[error.start]:02x} at offset "
            f"{offset - pending + error.start}; save the file as UTF-8"
        ) from error
    nul = piece.find(b"\0")
    if nul >= 0:
        raise ConfigurationError(
            f"NUL character at offset {offset + nul}; SQL cannot hold one (saved as UTF-16?)"
        )


def _head(piece: bytes) -> str:
    """Return the blank and comment lines that a file begins with."""
    if piece[:1].isalpha():
        return "\n"
    found = _top(piece.decode("utf-8", "replace"))
    return (found and found.group()) or "\n"


def _arrange(
    found: list[Migration], folder: Path, problems: list[str], unread: set[Version | None]
) -> Folder:
    kinds: dict[str, dict[str, Migration]] = {"V": {}, "U": {}, "R": {}}
    for migration in found:
        twin = kinds[migration.kind].setdefault(migration.key, migration)
        if twin is not migration:
            what = "repeatable" if migration.kind == "R" else f"version {migration.key}"
            forms = composed(migration.name) == composed(twin.name)
            how = ", its name in another form of Unicode" if forms else ""
            other = folder / twin.name
            problems.append(f"{folder / migration.name}: {what} is {other} as well{how}")
    for key, undo in kinds["U"].items():
        if key not in kinds["V"]:
            if undo.version in unread:
                continue  # it is there, and has its own problem
            problems.append(
                f"{folder / undo.name}: undoes version {key}, but there is no V file: put that"
                " back, or remove this as well"
            )
        elif kinds["V"][key].directives.irreversible:
            problems.append(
                f"{folder / undo.name}: {kinds['V'][key].name} says that it is irreversible"
            )
    problems += _missing_needs(found, folder, kinds["V"])
    return Folder(
        versioned=tuple(sorted(kinds["V"].values(), key=lambda migration: migration.version)),
        undo=kinds["U"],
        repeatable=tuple(sorted(kinds["R"].values(), key=lambda migration: migration.name)),
    )


def _missing_needs(
    found: list[Migration], folder: Path, versioned: dict[str, Migration]
) -> Iterator[str]:
    """Yield the problem of each file that needs what cannot have come before it."""
    for migration in found:
        if needs := migration.directives.needs:
            other = versioned.get(canonical(parse_version(needs)))
            if migration.kind == "U" or other is None or other.version >= migration.version > ():
                what = (
                    "a U file needs nothing" if migration.kind == "U" else "no older V file has it"
                )
                yield f"{folder / migration.name}: needs={needs}: {what}"
