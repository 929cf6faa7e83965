"""Where the local stack keeps everything, and on which ports it listens."""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from local.errors import LocalError
from runner.embedded.ports import free_port

CLONE = Path(__file__).parent.parent
REGION = "eu-central-1"
ACCOUNT = "000000000000"

# Below the range from which the kernel takes ports of outgoing connections.
_DEFAULT_PORTS = {"aws": 14600, "pipeline": 14601, "database": 15432, "psql": 15433}


@dataclasses.dataclass(frozen=True)
class State:
    """One local stack's folder; nothing of the stack is elsewhere."""

    folder: Path
    # None takes the fixed ports; the tests' stacks choose free ones.
    choose_port: Callable[[], int] | None = None

    @classmethod
    def of_tests(cls, folder: Path) -> "State":
        """Describe a stack that must not get in the way of any other."""
        return cls(folder, free_port)

    def make(self) -> None:
        """Make the folder and what belongs into it."""
        for folder in (self.folder, self.tmp, self.home, self.folder / "log", self.changes):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def tmp(self) -> Path:
        """The emulators' TMPDIR."""
        return self.folder / "tmp"

    @property
    def home(self) -> Path:
        """The HOME of emulators and builds, so that nobody writes into the user's."""
        return self.folder / "home"

    @property
    def authority(self) -> Path:
        """The certificate that verifies the emulated Aurora's servers."""
        return self.folder / "ca.pem"

    @property
    def changes(self) -> Path:
        """The folder in which each daemon counts what may have changed something in it."""
        return self.folder / "changes"

    def log(self, name: str) -> Path:
        """Return the log file of one daemon."""
        return self.folder / "log" / f"{name}.log"

    def pid_file(self, name: str) -> Path:
        """Return the pid file of one daemon."""
        return self.folder / f"{name}.pid"

    def port(self, name: str) -> int:
        """Return where a daemon or database listens, or would if it were started now.

        Raises:
            LocalError: a variable does not hold a port.

        """
        wanted = self.wanted_port(name)
        return self._remembered().get(name, wanted)

    def wanted_port(self, name: str) -> int:
        """Return a port by its name: from the environment, else remembered, else the default.

        Raises:
            LocalError: the variable does not hold a port.

        """
        if not self.choose_port and (given := os.environ.get(port_variable(name))):
            return _parse(name, given)
        if (remembered := self._remembered().get(name)) is not None:
            return remembered
        if not self.choose_port:
            return _DEFAULT_PORTS[name]
        chosen = self.choose_port()
        self.remember({name: chosen})
        return chosen

    def remember(self, ports: Mapping[str, int]) -> None:
        """Keep the ports of what runs now, for all who look for it later."""
        path = self.ports
        new = path.with_name("ports.json.new")
        new.write_text(json.dumps({**self._remembered(), **ports}))
        new.replace(path)

    @property
    def ports(self) -> Path:
        """The file of the ports that were chosen."""
        return self.folder / "ports.json"

    def _remembered(self) -> dict[str, int]:
        remembered: dict[str, int] = (
            json.loads(self.ports.read_text()) if self.ports.exists() else {}
        )
        return remembered


def port_variable(name: str) -> str:
    """Name the environment variable that moves a port."""
    return f"LOCAL_{name.upper().replace('-', '_')}_PORT"


def _parse(name: str, text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 16:
        raise LocalError(f"{port_variable(name)}={text} is not a port: give a number up to 65535")
    return int(text)
