"""The source artifact, as a build gets it: a zip without modes, links and git."""

import contextlib
import dataclasses
import datetime as dt
import io
import os
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from local.errors import LocalError
from local.state import CLONE

# What decides what is in .venv; a source with the clone's own may use the clone's.
_LOCKED = ("requirements.lock", "pyproject.toml")


@dataclasses.dataclass(frozen=True)
class Source:
    """A source artifact: each action of an execution gets the same."""

    archive: bytes
    name: str

    @classmethod
    def of_folder(cls, folder: Path) -> "Source":
        """Take what a commit of the folder as it is now would hold; without git, all of it."""
        files = {str(path.relative_to(folder)): path for path in _files(folder)}
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, path in sorted(files.items()):
                archive.writestr(_entry(name, path.lstat().st_mtime), _content(path))
        return cls(buffer.getvalue(), str(folder))

    @classmethod
    def of_commit(cls, repository: Path, commit: str = "HEAD") -> "Source":
        """Take a commit of a repository.

        Raises:
            LocalError: there is none of this name.

        """
        done = subprocess.run(
            ["git", "archive", "--format=zip", commit],
            cwd=repository, capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise LocalError(f"{repository}: {done.stderr.decode(errors='replace').strip()}")
        return cls(done.stdout, commit)

    @classmethod
    def of_object(cls, client: Any, bucket: str, key: str) -> "Source":
        """Take a zip that is an object of S3."""
        return cls(client.get_object(Bucket=bucket, Key=key)["Body"].read(), f"{bucket}/{key}")

    @contextlib.contextmanager
    def unpacked(self, tmp: Path) -> Iterator[Path]:
        """Give a folder with the files, that goes afterwards."""
        with tempfile.TemporaryDirectory(prefix="build-", dir=tmp) as made:
            folder = Path(made)
            with zipfile.ZipFile(io.BytesIO(self.archive)) as archive:
                for entry in archive.infolist():
                    _extract(archive, entry, folder)
            _link_environment(folder)
            yield folder


def _files(folder: Path) -> Iterator[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode or not (folder / ".git").exists():
        yield from (p for p in folder.rglob("*") if _is_source(p.relative_to(folder), p))
        return
    for name in filter(None, listed.stdout.split("\0")):
        if (folder / name).is_file() or (folder / name).is_symlink():
            yield folder / name


def _is_source(relative: Path, path: Path) -> bool:
    made = {".venv", ".cache", ".local", ".ansible", "build", "reports", "__pycache__"}
    return (path.is_file() or path.is_symlink()) and not made & set(relative.parts)


def _content(path: Path) -> bytes:
    return str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()


def _entry(name: str, changed: float) -> zipfile.ZipInfo:
    moment = max(dt.datetime.fromtimestamp(changed), dt.datetime(1980, 1, 1))  # noqa: DTZ001, DTZ006 (zip knows no zone)
    entry = zipfile.ZipInfo(name, moment.timetuple()[:6])
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    """Write a file with the mode of any new one; a link becomes a file with its target."""
    if entry.is_dir():
        return
    path = folder / entry.filename
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(archive.read(entry))
    moment = dt.datetime(*entry.date_time).timestamp()  # noqa: DTZ001 (zip knows no zone)
    os.utime(path, (moment, moment))


def _link_environment(folder: Path) -> None:
    """Give a build the clone's .venv and cache, as an image or a cache would, if they fit.

    A build that made its own would take half a minute each time. One of another lock makes it, and
    so does one whose clone has a newer lock than .venv, which the build would make anew in place.
    """
    ready = CLONE / ".venv/.ready"
    if not ready.exists() or not all(_same(folder / name, CLONE / name) for name in _LOCKED):
        return
    made = ready.stat().st_mtime_ns
    if any((CLONE / name).stat().st_mtime_ns > made for name in _LOCKED):
        return
    # With what a step needs, which is some of what there is.
    for path in (*(folder / name for name in _LOCKED), *folder.glob("locks/*.txt")):
        os.utime(path, ns=(made, made))
    for name in (".venv", ".cache"):
        if (CLONE / name).exists():
            (folder / name).symlink_to(CLONE / name)


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.read_bytes() == other.read_bytes()
