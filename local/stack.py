"""The emulated AWS as background processes: up, down, status, and how clients reach it."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from local.errors import LocalError
from local.postgres import Server, embedded_bin_dir
from local.postgres.certificates import ensure_certificates
from local.process import Process, command_line, require_free
from local.process.daemon import Daemon
from local.process.environment import basics
from local.state import ACCOUNT, CLONE, REGION, State, port_variable

_PATIENCE = 60.0  # seconds a daemon may take until it answers
_POLL = 0.05


class Stack:
    """The emulators of one state folder."""

    def __init__(self, state: State, accounts: Sequence[str] = (ACCOUNT,)) -> None:
        """Describe a stack whose `accounts` host a pipeline; nothing runs before up()."""
        self.state = state
        self.accounts = tuple(accounts)

    def up(self) -> bool:
        """Start what is not running, wait until it answers; return whether AWS began anew."""
        self.state.make()
        ensure_certificates(self.state.folder)
        started = [daemon for daemon in self._daemons() if self._start(daemon)]
        for daemon in started:
            self._wait(daemon)
        self._write_environment()
        return any(daemon.name == "aws" for daemon in started)

    def down(self) -> None:
        """Stop every process of this stack, also those whose starter is gone."""
        for path in sorted(self.state.folder.glob("*.pid")):
            if process := Process.recorded(path):
                process.stop()
            path.unlink(missing_ok=True)
        for process in self._orphans():
            process.stop(timeout=2)
        for home in (self.state.folder / "postgres").glob("*"):
            Server(embedded_bin_dir(), home, 0).stop()
        shutil.rmtree(self.state.tmp, ignore_errors=True)

    def status(self) -> list[str]:
        """Say of every daemon and database whether it runs."""
        lines = []
        for daemon in self._daemons() if self.state.folder.exists() else []:
            process = Process.recorded(self.state.pid_file(daemon.name))
            said = f"running, process {process.pid}" if process else "not running"
            lines.append(f"{daemon.name:<22} port {daemon.port:<6} {said}")
        for home in sorted((self.state.folder / "postgres").glob("*")):
            running = Server(embedded_bin_dir(), home, 0).running
            said = f"running, process {running.pid}" if running else "not running"
            lines.append(f"{home.name:<22} {'database':<11} {said}")
        return lines or ["nothing here yet: make local"]

    def environment(self, account: str = ACCOUNT) -> dict[str, str]:
        """Return what makes any AWS client talk to this stack as root of `account`."""
        pipeline = f"http://127.0.0.1:{self.state.port(self._pipeline(account))}"
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.state.port('aws')}",
            "AWS_ENDPOINT_URL_CODEPIPELINE": pipeline,
            "AWS_ENDPOINT_URL_CODECOMMIT": pipeline,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": account,
            # A word that is nobody's text: Ansible masks it wherever it appears.
            "AWS_SECRET_ACCESS_KEY": "emulated-secret",
            "AWS_EC2_METADATA_DISABLED": "true",
            # Nothing of the user's own configuration may lead to a real account.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "LOCAL_CA_BUNDLE": str(self.state.authority),
        }

    def database(self, account: str = ACCOUNT) -> tuple[str, Path]:
        """Return the URL, without a password, and the password file of an account's database.

        Raises:
            LocalError: there is none yet.

        """
        for path in sorted((self.state.folder / "postgres").glob(f"{account}-*/pgpass")):
            host, port, _, user, _ = path.read_text().splitlines()[0].split(":", 4)
            name = (path.parent / "database").read_text()
            return f"postgresql://{user}@{host}:{port}/{name}", path
        raise LocalError("there is no database yet: make local")

    def client(self, service: str, account: str = ACCOUNT) -> Any:
        """Return a boto3 client that talks to this stack as root of `account`."""
        import boto3  # noqa: PLC0415 (half a second, and most commands do without)

        environment = self.environment(account)
        variable = f"AWS_ENDPOINT_URL_{service.upper()}"
        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=environment.get(variable, environment["AWS_ENDPOINT_URL"]),
            region_name=REGION,
            aws_access_key_id=account,
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )

    def exports(self, account: str = ACCOUNT) -> str:
        """Return the environment as lines for a shell."""
        lines = ["unset AWS_PROFILE AWS_SESSION_TOKEN AWS_URL"]
        for name, value in self.environment(account).items():
            lines.append(f"export {name}={shlex.quote(value)}")
        return "\n".join(lines) + "\n"

    def _pipeline(self, account: str) -> str:
        """Name the daemon that has an account's pipelines; accounts without one share the first."""
        known = account in self.accounts and account != self.accounts[0]
        return f"pipeline-{account}" if known else "pipeline"

    def _daemons(self) -> list[Daemon]:
        state = self.state
        base = {
            **basics(state.home, state.tmp),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(CLONE),
            "DOCKER_HOST": "unix:///nonexistent",  # no containers, whatever runs here
        }
        aws = state.port("aws")
        arguments = (state.folder, state.port("database"), state.port("psql"))
        fast = ("fast",) if state.choose_port else ()
        daemons = [
            Daemon(
                name="aws",
                purpose="the emulated AWS",
                port=aws,
                command=("local.emulator", *map(str, arguments), *fast),
                environment=base | _ministack(state, aws),
                health="/_ministack/health",
            )
        ]
        for account in self.accounts:
            name = self._pipeline(account)
            port = state.port(name)
            daemons.append(
                Daemon(
                    name=name,
                    purpose=f"the pipelines of account {account}",
                    port=port,
                    command=("local.emulator.pipelines", "-H", "127.0.0.1", "-p", str(port)),
                    environment=base | {"MOTO_ACCOUNT_ID": account},
                    health="/moto-api/data.json",
                )
            )
        return daemons

    def _start(self, daemon: Daemon) -> bool:
        """Start a daemon unless it runs already; return whether it was started."""
        path = self.state.pid_file(daemon.name)
        if running := Process.recorded(path):
            if daemon.runs_as(running):
                return False
            running.stop()  # it was asked to move to another port
        require_free(daemon.port, purpose=daemon.purpose, variable=port_variable(daemon.name))
        with self.state.log(daemon.name).open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", *daemon.command],
                cwd=self.state.home,
                env=daemon.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if process := Process.running(child.pid):
            process.record(path)
        child.returncode = 0  # it outlives us, and nobody waits for it
        return True

    def _wait(self, daemon: Daemon) -> None:
        """Wait until a daemon answers on its health endpoint."""
        process = Process.recorded(self.state.pid_file(daemon.name))
        patience = time.monotonic() + _PATIENCE
        while process and time.monotonic() < patience:
            if daemon.answers():
                return
            if process.ended(_POLL):
                break
        log = self.state.log(daemon.name)
        said = (log.read_text(errors="replace").strip().splitlines() or ["nothing"])[-1]
        raise LocalError(f"{daemon.purpose} did not start: {said} (log: {log})")

    def _orphans(self) -> list[Process]:
        """Find Lambda workers that outlived their emulator: they run files of our tmp folder."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            arguments = command_line(int(entry.name))
            if any(argument.startswith(f"{self.state.tmp}/") for argument in arguments):
                process = Process.running(int(entry.name))
                found += [process] if process else []
        return found

    def _write_environment(self) -> None:
        (self.state.folder / "env").write_text(self.exports())


def _ministack(state: State, port: int) -> dict[str, str]:
    """Return ministack's settings: loopback only, IAM enforced, every file in the state folder."""
    return {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "AUTH": "true",
        "S3_DATA_DIR": str(state.tmp / "s3"),
        "STATE_DIR": str(state.tmp / "state"),
        "LOG_LEVEL": "WARNING",
    }
