#!/usr/bin/python
"""Ansible module: a local port that leads through an instance to a host behind it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import NoReturn

from ansible_collections.migrations.aws.plugins.module_utils.converge import Converge
from ansible_collections.migrations.aws.plugins.module_utils.session_manager import (
    PLUGIN,
    VARIABLE,
    Document,
    PluginError,
    arguments,
    environment,
    find_plugin,
)

DOCUMENTATION = r"""
module: tunnel
short_description: Open a tunnel of Session Manager to a host behind an instance
description:
  - Starts a port forwarding session and hands it to session-manager-plugin, which goes on in the
    background when the module has ended. The AWS CLI is not needed.
  - A tunnel is known by its own arguments in the list of processes, so that nothing has to be
    remembered. An open one is left as it is.
  - Session Manager ends a session by itself when it was idle for 20 minutes, or as long as the
    account's preferences say.
  - No module of the AWS collections starts a session of Session Manager; their connection plugin
    runs Ansible's own commands through one.
options:
  instance_id:
    description: The instance that the session goes through.
    type: str
    required: true
  host:
    description: Host name as the instance resolves it.
    type: str
    required: true
  port:
    description: TCP port of the host.
    type: int
    required: true
  local_port:
    description: TCP port of 127.0.0.1 that leads there.
    type: int
    required: true
  log:
    description: File for what the plugin says. Only its owner can read it.
    type: path
    required: true
  state:
    description: Whether the tunnel is to be open.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - migrations.aws.converge
"""

EXAMPLES = r"""
- name: Open a tunnel to the database
  migrations.aws.tunnel:
    instance_id: i-0123456789abcdef0
    host: shop.cluster-abc.eu-central-1.rds.amazonaws.com
    port: 5432
    local_port: 15432
    log: /tmp/tunnel.log
"""

RETURN = r"""
pid:
  description: Process of the tunnel; 0 if none is open.
  returned: always
  type: int
"""

SPEC = {
    "instance_id": {"type": "str", "required": True},
    "host": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "local_port": {"type": "int", "required": True},
    "log": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}
# An instance that has just started is known to Session Manager after about a minute.
ATTEMPTS = 12
OPENING = 60  # seconds
CLOSING = 10
PAUSE = 0.1


class Tunnel:
    """One tunnel, open or not."""

    def __init__(self, run: Converge) -> None:
        self.run = run
        p = run.params
        self.request = {
            "Target": p["instance_id"],
            "DocumentName": "AWS-StartPortForwardingSessionToRemoteHost",
            "Parameters": {
                "host": [p["host"]],
                "portNumber": [str(p["port"])],
                "localPortNumber": [str(p["local_port"])],
            },
        }
        self.address = ("127.0.0.1", p["local_port"])
        self.log = Path(p["log"])
        self.pid = self._find()

    def _find(self) -> int:
        """Return the process that has our request among its arguments, or 0."""
        ps = self.run.module.get_bin_path("ps", required=True)
        user = str(os.getuid())
        command = [ps, "-ww", "-u", user, "-o", "pid=", "-o", "args="]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        for line in listed.splitlines():
            if f"{PLUGIN} {VARIABLE} " in line and json.dumps(self.request) in line:
                return int(line.split()[0])
        return 0

    def open(self) -> None:
        """Start the session and the plugin, and wait until the port answers."""
        if self.pid:
            return
        plugin = self._plugin()
        self._require_free_port()
        ssm = self.run.client("ssm")
        answer = self.run.send_when_ready(
            ssm.start_session, ["TargetNotConnected"], "", ATTEMPTS, **self.request
        )
        if answer:
            self._await(self._start(plugin, ssm.meta.endpoint_url, answer))

    def close(self) -> None:
        """Interrupt the plugin, which is how it ends its session too."""
        if not self.pid:
            return
        self.run.changed = True
        if self.run.module.check_mode:
            return
        os.kill(self.pid, signal.SIGINT)
        deadline = time.monotonic() + CLOSING
        while self._find():
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(PAUSE)
        self.pid = 0

    def _plugin(self) -> str:
        try:
            return find_plugin()
        except PluginError as exc:
            self._refuse(str(exc))

    def _require_free_port(self) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(self.address)
            except OSError as exc:
                self._refuse(
                    f"Port {self.address[1]} of this machine cannot be used for the tunnel "
                    f"({exc.strerror}). End what has it, or choose another local_port."
                )

    def _start(self, plugin: str, endpoint: str, answer: Document) -> subprocess.Popen[bytes]:
        """Start the plugin in a session of its own, so that it outlives this one."""
        p = self.run.params
        words = arguments(
            self.request,
            region=self.run.module.region,
            endpoint=endpoint,
            profile=p["profile"] or "",
        )
        credentials = {
            "AWS_ACCESS_KEY_ID": p["access_key"],
            "AWS_SECRET_ACCESS_KEY": p["secret_key"],
            "AWS_SESSION_TOKEN": p["session_token"],
        }
        flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY
        with os.fdopen(os.open(self.log, flags, 0o600), "wb") as log:
            return subprocess.Popen(
                [plugin, *words],
                env=environment(answer, credentials),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the port accepts a connection; a plugin that ended has said why."""
        deadline = time.monotonic() + OPENING
        while time.monotonic() < deadline and process.poll() is None:
            if self._answers():
                self.pid = process.pid
                return
            time.sleep(PAUSE)
        process.kill()
        said = " ".join(self.log.read_text(errors="replace").split())
        self._refuse(f"{PLUGIN} did not open the tunnel. It said: {said or 'nothing'}")

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(self.address) == 0

    def _refuse(self, message: str) -> NoReturn:
        self.run.module.fail_json(msg=message)
        raise AssertionError


def main() -> None:
    """Run the module."""
    run = Converge(SPEC)
    tunnel = Tunnel(run)
    wanted = run.params["state"]
    run.before = {"state": "present" if tunnel.pid else "absent"}
    run.after = {"state": wanted}
    if wanted == "present":
        tunnel.open()
    else:
        tunnel.close()
    run.exit(pid=tunnel.pid)


if __name__ == "__main__":
    main()
