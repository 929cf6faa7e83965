"""The migrations of a git base, such as origin/main, against the files here."""

from __future__ import annotations

import codecs
import hashlib
import shlex
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from runner.errors import ConfigurationError
from runner.files.folder import Version, canonical, version_of
from runner.lint.findings import Found, Judged


class Base(NamedTuple):
    """The files of a commit and of the one where this branch left it, as name: blob."""

    ref: str
    folder: Path
    files: dict[str, str]
    before: dict[str, str]

    def has(self, source: Judged, name: str | None = None) -> bool:
        """Return whether the base has this file's text (under another name), line ends aside."""
        blob = self.files.get(name or source.migration.name)
        if blob is None:
            return False
        data = source.migration.path.read_bytes()
        header = b"blob %d\0" % len(data)
        if hashlib.sha1(header + data, usedforsecurity=False).hexdigest() == blob:
            return True
        return _plain(_blob(self.folder, blob)) == _plain(data)


def read_base(folder: Path, ref: str) -> Base:
    """Read which migrations a commit has.

    Raises:
        ConfigurationError: the folder is not in a git work tree, or git does not know the commit.

    """
    name = f"{ref}^{{commit}}"
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", name).strip()
    parting = _git(folder, "merge-base", commit, "HEAD").strip()
    return Base(ref, folder, _tree(folder, commit), _tree(folder, parting))


def compare(base: Base, sources: Iterable[Judged]) -> Iterator[Found]:
    """Yield what would go wrong once these files meet the base's."""
    ours = [source for source in sources if source.migration.kind == "V"]
    theirs = {version: name for name in base.files if (version := version_of(Path(name).name))}
    versions = {source.migration.version for source in ours}
    free = canonical((max([(0,), *theirs, *versions])[0] + 1,))
    for source in ours:
        yield from _against(base, theirs, source, f"give this one a higher number, such as {free}")
    for version, name in theirs.items():
        if version not in versions and name in base.before:
            yield _changed(base, name, "was deleted here")


def _against(base: Base, theirs: dict[Version, str], source: Judged, fix: str) -> Iterator[Found]:
    migration = source.migration
    twin = theirs.get(migration.version)
    newest = max(theirs, default=())
    if twin == migration.name:
        if not base.has(source):
            yield _changed(base, twin, "was changed here")
    elif twin and not base.has(source, twin):
        message = f"version {migration.key} is {twin} on {base.ref}"
        yield source.found("version-collision", message, fix)
    elif not twin and migration.version < newest and not migration.directives.out_of_order:
        yield source.found(
            "version-order",
            f"{base.ref} has version {canonical(newest)} already: this one would come too late"
            " where that is applied",
            f"{fix}, or put '-- runner: out-of-order' on top",
        )


def _changed(base: Base, name: str, what: str) -> Found:
    path = base.folder / name
    return Found(
        str(path), 1, 1, "applied-changed",
        f"{what}, but {base.ref} has it: what may be applied somewhere stays as it is",
        f"put it back (git checkout {base.ref} -- {shlex.quote(str(path))}) and make the change a"
        " migration of its own",
    )  # fmt: skip


def _plain(data: bytes) -> bytes:
    """Return the bytes that the checksum is made of."""
    data = data.removeprefix(codecs.BOM_UTF8)
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _tree(folder: Path, commit: str) -> dict[str, str]:
    """Return the blobs of a folder in a commit by their name below the folder."""
    listed = _git(folder, "ls-tree", "-r", "-z", commit, ".")
    entries = (entry.partition("\t") for entry in listed.split("\0") if entry)
    return {name: facts.split()[2] for facts, _, name in entries}


def _git(folder: Path, *arguments: str) -> str:
    return _run(folder, *arguments).decode("utf-8", "surrogateescape")


def _blob(folder: Path, name: str) -> bytes:
    return _run(folder, "cat-file", "blob", name)


def _run(folder: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise ConfigurationError("git, which --base needs, is not installed") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or "no such commit in this clone"
        raise ConfigurationError(
            f"git {arguments[0]} cannot tell the base of {folder}: {said}",
            fix="name a commit or a branch (--base origin/main), fetched with its history:"
            " git fetch --unshallow origin",
        )
    return done.stdout
