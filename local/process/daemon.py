"""A background process of the stack: what starts it, and how to see that it is there."""

import dataclasses
import http.client
import subprocess
import sys
import time
from pathlib import Path

from local.errors import LocalError
from runner.embedded.process import Process, command_line, environment_of

_PATIENCE = 60.0  # seconds a daemon may take until it answers
_POLL = 0.05
# In every daemon's environment: its port, and the pid file that should name it. So its stack finds
# it again, also after the file is lost.
_PORT, _PID_FILE = "LOCAL_PORT", "LOCAL_PID_FILE"


@dataclasses.dataclass(frozen=True)
class Daemon:
    """One background process of the stack, and how to see that it answers."""

    name: str
    purpose: str
    port: int
    command: tuple[str, ...]
    environment: dict[str, str]
    health: str
    pid_file: Path
    log: Path

    def start(self, home: Path) -> None:
        """Start it in the folder `home`, as a process that outlives this one, and record it."""
        marks = {_PORT: str(self.port), _PID_FILE: str(self.pid_file)}
        with self.log.open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", *self.command],
                cwd=home,
                env=self.environment | marks,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if process := Process.running(child.pid):
            process.record(self.pid_file)
        child.returncode = 0  # nobody waits for it

    @property
    def running(self) -> Process | None:
        """Its process, on whatever port, also when the pid file is lost."""
        if recorded := Process.recorded(self.pid_file):
            return recorded
        for process in Process.with_variable(_PID_FILE, str(self.pid_file)):
            if self.command[0] in command_line(process.pid):  # no child of it
                return process
        return None

    @property
    def as_wanted(self) -> bool:
        """Whether it runs with this command and for this port."""
        if not (process := self.running):
            return False
        arguments = command_line(process.pid)[-len(self.command) :]
        port = environment_of(process.pid).get(_PORT)
        return arguments == [*self.command] and port == str(self.port)

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            LocalError: it has ended, or takes more than a minute; its last line is in the message.

        """
        patience = time.monotonic() + _PATIENCE
        while (process := self.running) and time.monotonic() < patience:
            if self.answers():
                return
            if process.ended(_POLL):
                break
        said = (self.log.read_text(errors="replace").strip().splitlines() or ["nothing"])[-1]
        raise LocalError(f"{self.purpose} did not start: {said} (log: {self.log})")

    def stop(self) -> None:
        """End it, and whatever else was started in its name."""
        stop_recorded(self.pid_file)

    def answers(self) -> bool:
        """Whether it answers on its health endpoint now."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", self.health)
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()


def stop_recorded(pid_file: Path) -> None:
    """End the process that a pid file names, and those that it should name; never a stranger."""
    recorded = Process.recorded(pid_file)
    if recorded:
        recorded.stop()
    for process in Process.with_variable(_PID_FILE, str(pid_file)):
        process.stop()
    pid_file.unlink(missing_ok=True)
