"""PostgreSQL refuses to run as root. When we are root, find a way to be somebody else.

A user namespace is the better way: the server believes it is user 1000 while every file stays
ours. Where namespaces are refused (plain Docker containers) the server runs as `nobody`, which
must then be able to reach its binaries and its data.
"""

import dataclasses
import functools
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Any

from runner.errors import ConfigurationError

_NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")


@dataclasses.dataclass(frozen=True)
class Unprivileged:
    """How to start a process that is not root: a command in front, or another user's ids."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Return the keyword options for subprocess."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        """Make a file or folder of ours the property of the one who will use it."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def require_access(self, *paths: Path) -> None:
        """Raise ConfigurationError unless the process could enter all these folders."""
        if self.uid is None:
            return
        script = 'for path; do test -x "$path" || { echo "$path"; exit 1; }; done'
        tried = subprocess.run(
            ["/bin/sh", "-c", script, "sh", *map(str, paths)],
            **self.options,
            cwd="/",
            stdout=subprocess.PIPE,
            check=False,
        )
        if tried.returncode:
            blocked = tried.stdout.decode().strip()
            raise ConfigurationError(
                f"PostgreSQL refuses to run as root, user namespaces are refused here, and user "
                f"'nobody' cannot enter {blocked}: run as an ordinary user, or from a folder that "
                f"others may enter"
            )


@functools.cache
def unprivileged() -> Unprivileged:
    """Choose the way for this machine."""
    if os.geteuid() != 0:
        return Unprivileged()
    if shutil.which(_NAMESPACE[0]):
        tried = subprocess.run([*_NAMESPACE, "true"], capture_output=True, check=False)
        if tried.returncode == 0:
            return Unprivileged(prefix=_NAMESPACE)
    nobody = pwd.getpwnam("nobody")
    return Unprivileged(uid=nobody.pw_uid, gid=nobody.pw_gid)
