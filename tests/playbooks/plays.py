"""Runs of ansible-playbook, and the environments they run on."""

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from local.stack import Stack
from local.up import warmed

ROOT = Path(__file__).parents[2]
ACCOUNTS = {"dev": "111122223333", "prod": "444455556666", "local": "000000000000"}
# The playbooks that a deployment takes, and those that a deployment without a pipeline is made of.
WHOLE = ("playbooks/bootstrap.yml", "site.yml")
ALONE = tuple(
    f"playbooks/{name}.yml" for name in ("bootstrap", "network", "database", "runner", "bastion")
)
PLAIN_ACCOUNT = "222233334444"  # whose database is no Aurora cluster
RECORDER = Path(__file__).with_name("recorder")
PATIENCE = 600.0  # seconds until a request that is waited for must have been made


@dataclass(frozen=True)
class Play:
    """One run of ansible-playbook."""

    status: int
    output: str

    def count(self, what: str) -> int:
        """Return a number of the recap, added up over its hosts."""
        recap = self.output.rpartition("PLAY RECAP")[2]
        return sum(int(w.partition("=")[2]) for w in recap.split() if w.startswith(f"{what}="))

    @property
    def message(self) -> str:
        """The output as one line, however it was wrapped."""
        return " ".join(self.output.split())

    @property
    def changed(self) -> set[str]:
        """The tasks that changed something, as `role : name`."""
        tasks = re.split(r"^TASK \[(.+?)\] \*+$", self.output, flags=re.MULTILINE)[1:]
        pairs = zip(tasks[::2], tasks[1::2], strict=True)
        return {name for name, said in pairs if re.search(r"^changed: ", said, re.MULTILINE)}


@dataclass(frozen=True)
class Request:
    """A request that a boto3 client made."""

    environment: str
    playbook: str
    role: str
    service: str
    operation: str
    params: dict[str, Any] = field(hash=False)


class Playbooks:
    """Runs playbooks on a stack, with an inventory as it is, and records their requests."""

    def __init__(self, stack: Stack, python: Path) -> None:
        self.stack = stack
        self.python = python
        self.record = stack.state.folder / "requests.jsonl"

    def __call__(
        self, name: str, env: str, *options: str, inventory: str = "", **environment: str | None
    ) -> Play:
        """Run a playbook to its end; `environment` adds variables, None takes one away."""
        process = self._start(name, env, *options, inventory=inventory, **environment)
        output, _ = process.communicate()
        return Play(process.returncode, output)

    def interrupt(self, name: str, env: str, operation: str) -> None:
        """Run a playbook and kill it, modules and all, when it makes this request."""
        self.record.touch()
        with self.record.open() as record:
            record.seek(0, os.SEEK_END)
            process = self._start(name, env)
            until = time.monotonic() + PATIENCE
            while (env, operation) not in {(r.environment, r.operation) for r in _read(record)}:
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < until, f"{name} never made the request {operation}"
                time.sleep(0.02)
        _kill(process.pid)
        process.communicate()

    def requests(self) -> list[Request]:
        """Return all requests so far."""
        return read(self.record)

    def _start(
        self, name: str, env: str, *options: str, inventory: str = "", **environment: str | None
    ) -> "subprocess.Popen[str]":
        kept = warmed(self.python)
        callbacks = f"{RECORDER / 'callback'}:{kept['ANSIBLE_CALLBACK_PLUGINS']}"
        variables = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ANSIBLE_"))},
            "ANSIBLE_HOME": str(self.stack.state.folder / "ansible"),
            "ANSIBLE_REMOTE_TMP": str(self.stack.state.folder / "ansible/modules"),
            **kept,
            "ANSIBLE_CALLBACK_PLUGINS": callbacks,
            "ANSIBLE_CALLBACKS_ENABLED": "acting_role",
            "PYTHONPATH": f"{RECORDER}:{kept['PYTHONPATH']}",
            "RECORD_REQUESTS": str(self.record),
            "RECORD_ENVIRONMENT": env,
            "RECORD_PLAYBOOK": Path(name).stem,
            "LC_ALL": "C.UTF-8",
            **self.stack.environment(ACCOUNTS[env]),
            **environment,
        }
        command = [
            Path(sys.executable).with_name("ansible-playbook"),
            *(name, "-i", inventory or f"inventories/{env}"),
            *options,
        ]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={k: v for k, v in variables.items() if v is not None},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )


def read(record: Path) -> list[Request]:
    """Return the requests of a record, to which others may append at this moment."""
    if not record.exists():
        return []
    with record.open() as file:
        return _read(file)


def _read(record: TextIO) -> list[Request]:
    """Return the requests that were not read yet."""
    fcntl.flock(record, fcntl.LOCK_SH)  # no line is half written
    try:
        return [Request(**json.loads(line)) for line in record]
    finally:
        fcntl.flock(record, fcntl.LOCK_UN)


def _kill(ancestor: int) -> None:
    """Kill a process and all that came of it, wherever it may have put its children."""
    os.kill(ancestor, signal.SIGSTOP)  # it starts no more of them
    doomed = {ancestor}
    parents = {int(p.name): _parent(p) for p in Path("/proc").glob("[0-9]*")}
    while more := {pid for pid, parent in parents.items() if parent in doomed} - doomed:
        doomed |= more
    for pid in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _parent(process: Path) -> int:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return int(process.joinpath("stat").read_text().rpartition(")")[2].split()[1])
    return 0
