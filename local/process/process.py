"""Background processes: found again after their starter is gone, and never mistaken for a stranger.

A pid alone proves nothing, because the kernel gives it to others later. So a process is
identified by its pid *and* the moment it started, which Linux keeps in /proc.
"""

import contextlib
import dataclasses
import json
import os
import random
import select
import signal
import socket
import time
from pathlib import Path
from typing import Self

from local.errors import LocalError

_STATE_FIELD = 0  # counted after the command name in /proc/<pid>/stat
_START_TIME_FIELD = 19


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat after the command name, or none if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


def command_line(pid: int) -> list[str]:
    """Return the process's arguments; empty when it is gone or may not be read."""
    return _strings(pid, "cmdline")


def environment_of(pid: int) -> list[str]:
    """Return the process's environment at its start, as NAME=value; empty when it is gone."""
    return _strings(pid, "environ")


def _strings(pid: int, name: str) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return []
    return text.split("\0")[:-1]


@dataclasses.dataclass(frozen=True)
class Process:
    """A process that may be somebody's child, or nobody's any more."""

    pid: int
    started: str

    @classmethod
    def running(cls, pid: int) -> Self | None:
        """Return the process that has this pid now, or None (a zombie counts as gone)."""
        fields = _stat(pid)
        if not fields or fields[_STATE_FIELD] in "ZX":
            return None
        return cls(pid, fields[_START_TIME_FIELD])

    @classmethod
    def recorded(cls, path: Path) -> Self | None:
        """Return the process a pid file names, if that very process still runs."""
        try:
            pid, started = json.loads(path.read_text())
        except (OSError, ValueError, TypeError):
            return None
        process = cls.running(pid)
        return process if process and process.started == started else None

    def record(self, path: Path) -> None:
        """Write the pid file, whole or not at all."""
        new = path.with_name(path.name + ".new")
        new.write_text(json.dumps([self.pid, self.started]))
        new.replace(path)

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return Process.running(self.pid) == self

    def ended(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the process to end; return whether it has."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if not self.alive:
                return True
            return bool(select.select([descriptor], [], [], timeout)[0])
        finally:
            os.close(descriptor)

    def stop(self, *, how: int = signal.SIGTERM, timeout: float = 20.0) -> None:
        """End the process and wait until it is gone; kill it after `timeout` seconds."""
        if not self.alive:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, how)
        if not self.ended(timeout):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.ended(timeout)


# Below the range from which the kernel takes ports for outgoing connections: a port that is free
# now and is bound a moment later is not given to one of those meanwhile.
_PORTS = range(20000, 32000)
_DYING = 5.0  # seconds
_LOOK = 0.02


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on at this moment."""
    for port in random.sample(_PORTS, 200):
        if is_free(port):
            return port
    raise LocalError(f"none of 200 ports between {_PORTS[0]} and {_PORTS[-1]} is free")


def is_free(port: int) -> bool:
    """Whether one could listen on `port` of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def require_free(port: int, *, purpose: str, variable: str) -> None:
    """Raise LocalError, naming holder and way out, if `port` of 127.0.0.1 is taken.

    A process that was just killed gives its port back a moment after it is gone, so a port that
    nobody is seen to hold is looked at again for a while.
    """
    until = time.monotonic() + _DYING
    while not is_free(port):
        holder = _listener(port)
        if holder or time.monotonic() > until:
            raise LocalError(
                f"port {port}, meant for {purpose}, is taken{f' by {holder}' if holder else ''}: "
                f"stop that, or choose another with {variable}=PORT"
            )
        time.sleep(_LOOK)


def _listener(port: int) -> str:
    """Say which process listens on a TCP port, as far as /proc tells us."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for descriptors in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):
            if any(str(entry.readlink()) in inodes for entry in descriptors.iterdir()):
                pid = int(descriptors.parent.name)
                return f"process {pid} ({' '.join(command_line(pid))[:60].strip()})"
    return ""
