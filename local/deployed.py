"""What the playbooks were run for: the next `make local` runs of them what has changed since.

A team writes its migrations with `make local` after each: of the deployment they change what the
runner is, and neither its network nor its database.
"""

import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

from local.stack import Stack
from runner.embedded.process import Process

_BOOTSTRAP = ("playbooks/bootstrap.yml", "playbooks/group_vars", "roles", "collections")
_MIGRATIONS = ("sql",)
# Of site.yml, what has to do with the migrations.
_SHIPS = ("playbooks/sign.yml", "playbooks/runner.yml")
_MADE = {"build", "reports"}  # in the clone itself


@dataclasses.dataclass(frozen=True)
class Deployed:
    """What playbooks depend on: digests of files, and the emulated AWS that holds the outcome."""

    bootstrap: str
    site: str
    migrations: str
    aws: str

    @classmethod
    def wanted(cls, stack: Stack, folder: Path, inventory: str) -> Self:
        """Return what playbooks that run now are run for.

        Args:
            stack: whose emulators they run against.
            folder: with the playbooks, and all that they use.
            inventory: the folder in it that they are given.

        """
        found = {str(path.relative_to(folder)): path for path in _files(folder)}
        migrations = {name for name in found if _is_in(name, _MIGRATIONS)}
        bootstrap = {name for name in found if _is_in(name, (*_BOOTSTRAP, inventory))}
        return cls(
            bootstrap=_digest(found, bootstrap),
            # The package is for the Python that makes it.
            site=_digest(found, found.keys() - migrations) + sys.version,
            migrations=_digest(found, migrations),
            aws=aws_by_now(stack),
        )

    @classmethod
    def remembered(cls, stack: Stack) -> Self | None:
        """Return what was remembered last of a stack, None where nothing is known."""
        try:
            return cls(**json.loads(_file(stack).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def plays(self, before: Self | None) -> list[tuple[str, ...]]:
        """Return the playbooks that have to run, by runs of Ansible.

        Args:
            before: what was remembered, None where all of them have to.

        """
        if not before or (before.aws, before.bootstrap) != (self.aws, self.bootstrap):
            return [("playbooks/bootstrap.yml",), ("site.yml",)]
        if before.site != self.site:
            return [("site.yml",)]
        return [_SHIPS] if before.migrations != self.migrations else []

    def remember(self, stack: Stack) -> None:
        """Remember that all of it has run against a stack, and its AWS as it is by now."""
        now = dataclasses.replace(self, aws=aws_by_now(stack))
        _file(stack).write_text(json.dumps(dataclasses.asdict(now)))


def forget(stack: Stack) -> None:
    """Have the next run against a stack begin anew: it is not known how far this one comes."""
    _file(stack).unlink(missing_ok=True)


def aws_by_now(stack: Stack) -> str:
    """Return what is another text once an emulator is another, or anybody has changed AWS."""
    state = stack.state
    processes = [Process.recorded(path) for path in sorted(state.folder.glob("*.pid"))]
    counts = [path.read_text() for path in sorted(state.changes.glob("*"))]
    return f"{counts} {processes}"


def _file(stack: Stack) -> Path:
    return stack.state.folder / "deployed"


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of a clone but for what is made in it, whatever git thinks of them."""
    for place, folders, names in os.walk(folder):
        made = _MADE if Path(place) == folder else set()
        skipped = {*made, "__pycache__"}
        folders[:] = [name for name in folders if name not in skipped and name[0] != "."]
        yield from (Path(place, name) for name in names)


def _is_in(name: str, folders: Iterable[str]) -> bool:
    return any(name == folder or name.startswith(f"{folder}/") for folder in folders)


def _digest(found: Mapping[str, Path], names: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{name}\0".encode())
        if found[name].is_file():  # else a link that leads nowhere
            with found[name].open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
