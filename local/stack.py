"""The emulated AWS as background processes: up, down, status, and how clients reach it."""

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from local.errors import LocalError
from local.postgres.certificates import ensure_certificates
from local.process.daemon import Daemon, stop_recorded
from local.process.environment import basics
from local.process.system import require_linux
from local.state import ACCOUNT, CLONE, REGION, State, port_variable
from runner.embedded import Server, embedded_bin_dir
from runner.embedded.ports import Claim, require_free
from runner.embedded.process import Process

# The first database takes these, if it can.
_DATABASE_PORTS = {"database": "the database, with TLS", "psql": "the database, for psql"}


class Stack:
    """The emulators of one state folder."""

    def __init__(self, state: State, accounts: Sequence[str] = (ACCOUNT,)) -> None:
        """Describe a stack whose `accounts` host a pipeline; nothing runs before up()."""
        self.state = state
        self.accounts = tuple(accounts)

    def up(self) -> bool:
        """Start what is not running, wait until it answers; return whether AWS began anew.

        Raises:
            LocalError: ports are taken, or a daemon does not start; what was started is stopped.

        """
        require_linux()
        self.state.make()
        ensure_certificates(self.state.folder)
        ports = {name: self.state.wanted_port(name) for name in self._port_names()}
        changed = [daemon for daemon in self._daemons(ports) if not daemon.as_wanted]
        require_free(*self._claims(changed, ports))
        self._start(changed)
        self.state.remember(ports)
        self._write_environment()
        return any(daemon.name == "aws" for daemon in changed)

    def down(self) -> None:
        """Stop every process of this stack, also those whose starter is gone."""
        known = {self.state.pid_file(name) for name in self._pipelines()} | {
            self.state.pid_file("aws")
        }
        for path in sorted(known | {*self.state.folder.glob("*.pid")}):
            stop_recorded(path)
        for worker in Process.naming(f"{self.state.tmp}/"):  # Lambda's, that outlived the emulator
            worker.stop(timeout=2)
        for server in self._servers():
            server.stop()
        shutil.rmtree(self.state.tmp, ignore_errors=True)

    def reset(self) -> None:
        """Stop everything and forget it, but for the ports that somebody chose."""
        self.down()
        for path in self.state.folder.glob("*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path != self.state.ports:
                path.unlink()

    def status(self) -> list[str]:
        """Say of every daemon and database whether it runs."""
        if not self.state.folder.exists():
            return ["nothing here yet: make local"]
        lines = []
        ports = {name: self.state.port(name) for name in self._port_names()}
        for daemon in self._daemons(ports):
            where = f"port {daemon.port}"
            lines.append(f"{daemon.name:<22} {where:<11} {_said(daemon.running)}")
        for server in self._servers():
            where = f"port {server.listens_on}" if server.running else "database"
            lines.append(f"{server.home.name:<22} {where:<11} {_said(server.running)}")
        return lines

    def environment(self, account: str = ACCOUNT) -> dict[str, str]:
        """Return what makes any AWS client talk to this stack as root of `account`."""
        pipeline = f"http://127.0.0.1:{self.state.port(self._pipeline(account))}"
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.state.port('aws')}",
            "AWS_ENDPOINT_URL_CODEPIPELINE": pipeline,
            "AWS_ENDPOINT_URL_CODECOMMIT": pipeline,
            "AWS_ENDPOINT_URL_SERVICE_QUOTAS": pipeline,
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

    def client(
        self, service: str, account: str = ACCOUNT, keys: Mapping[str, str] | None = None
    ) -> Any:
        """Return a boto3 client that talks to this stack as root of `account`, or with a session.

        Args:
            service: its name for boto3.
            account: whose root it is.
            keys: the Credentials of an sts:AssumeRole answer.

        """
        import boto3  # noqa: PLC0415 (half a second, and most commands do without)

        environment = self.environment(account)
        variable = f"AWS_ENDPOINT_URL_{service.upper()}"
        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=environment.get(variable, environment["AWS_ENDPOINT_URL"]),
            region_name=REGION,
            aws_access_key_id=keys["AccessKeyId"] if keys else account,
            aws_secret_access_key=(keys or {}).get(
                "SecretAccessKey", environment["AWS_SECRET_ACCESS_KEY"]
            ),
            aws_session_token=keys["SessionToken"] if keys else None,
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

    def _pipelines(self) -> dict[str, str]:
        """Return the accounts that have pipelines, by their daemons' names."""
        return {self._pipeline(account): account for account in self.accounts}

    def _port_names(self) -> list[str]:
        return ["aws", *self._pipelines(), *_DATABASE_PORTS]

    def _daemons(self, ports: Mapping[str, int]) -> list[Daemon]:
        state = self.state
        base = {
            **basics(state.home, state.tmp),
            "PYTHONPATH": str(CLONE),
            "DOCKER_HOST": "unix:///nonexistent",  # no containers, whatever runs here
        }

        def daemon(name: str, **options: Any) -> Daemon:
            return Daemon(
                name=name,
                port=ports[name],
                pid_file=state.pid_file(name),
                log=state.log(name),
                **options,
            )

        arguments = (state.folder, *(ports[name] for name in _DATABASE_PORTS))
        fast = ("fast",) if state.choose_port else ()
        aws = daemon(
            "aws",
            purpose="the emulated AWS",
            command=("local.emulator", *map(str, arguments), *fast),
            environment=base | _ministack(state, ports["aws"]),
            health="/_ministack/health",
        )
        pipelines = [
            daemon(
                name,
                purpose=f"the pipelines of account {account}",
                command=(
                    *("local.emulator.pipelines", str(state.changes / name)),
                    *("-H", "127.0.0.1", "-p", str(ports[name])),
                ),
                environment=base | {"MOTO_ACCOUNT_ID": account},
                health="/moto-api/data.json",
            )
            for name, account in self._pipelines().items()
        ]
        return [aws, *pipelines]

    def _claims(self, changed: Sequence[Daemon], ports: Mapping[str, int]) -> list[Claim]:
        """Return the ports that are new when these daemons start, also for the first database."""
        claimed = {daemon.name: daemon.purpose for daemon in changed}
        if "aws" in claimed:
            claimed |= _DATABASE_PORTS
        return [
            Claim(ports[name], purpose, port_variable(name))
            for name, purpose in claimed.items()
            if ports[name] not in self._given_up(changed)
        ]

    def _given_up(self, changed: Sequence[Daemon]) -> set[int | None]:
        """Return the ports that these daemons and our databases have now, and leave or keep."""
        names = [daemon.name for daemon in changed if daemon.running]
        names += _DATABASE_PORTS if "aws" in names else ()
        served = {server.listens_on for server in self._servers()}
        return {self.state.port(name) for name in names} | served

    def _start(self, daemons: Sequence[Daemon]) -> None:
        """Start them and wait for them: all, or none of them stays."""
        for daemon in daemons:
            daemon.stop()  # it was asked to move, or its record is lost
        try:
            for daemon in daemons:
                daemon.start(self.state.home)
            for daemon in daemons:
                daemon.wait()
        except BaseException:
            for daemon in daemons:
                daemon.stop()
            raise

    def _servers(self) -> list[Server]:
        homes = sorted((self.state.folder / "postgres").glob("*"))
        return [Server(embedded_bin_dir(), home, 0) for home in homes]

    def _write_environment(self) -> None:
        (self.state.folder / "env").write_text(self.exports())


def _said(process: Process | None) -> str:
    return f"running, process {process.pid}" if process else "not running"


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
