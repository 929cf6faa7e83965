"""connect.yml as a person uses it: the printed psql line works, and so does ssh's proxy."""

import http.client
import http.server
import json
import os
import re
import shlex
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest

from local.stack import Stack
from runner.embedded.ports import free_port
from runner.embedded.process import Process
from tests.playbooks.plays import ACCOUNTS, ROOT, Play, Playbooks

LOCAL = ACCOUNTS["local"]
PATH = f"{ROOT / 'tests/doubles'}:{os.environ['PATH']}"


@dataclass(frozen=True)
class Connection:
    """A run of connect.yml, and where it left what."""

    play: Play
    folder: Path
    record: Path
    options: tuple[str, ...]
    environment: dict[str, str]

    @property
    def plugins(self) -> list[dict[str, Any]]:
        """What each plugin was given."""
        return [json.loads(line) for line in self.record.read_text().splitlines()]

    @property
    def proxy_command(self) -> list[str]:
        """The command that ssh would run."""
        text = (self.folder / "ssh_config").read_text()
        host = re.search(r"HostName (\S+)", text)
        proxy = re.search(r"ProxyCommand (.+)", text)
        assert host
        assert proxy
        words = {"%h": host[1], "%p": "22", "%r": "ec2-user"}
        return [words.get(word, word) for word in shlex.split(proxy[1])]


@pytest.fixture(scope="module")
def opened(
    provisioned: Stack, playbook: Playbooks, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Connection]:
    """Open a tunnel to the local database; the plugin stands in for AWS's."""
    folder = tmp_path_factory.mktemp("connect")
    record = folder / "record"
    given = {"connect_folder": str(folder), "connect_port": free_port()}
    options = ("-e", json.dumps(given))
    environment = {"PATH": PATH, "PLUGIN_RECORD": str(record)}
    play = playbook("playbooks/connect.yml", "local", *options, **environment)
    assert play.status == 0, play.output
    connection = Connection(play, folder, record, options, environment)
    yield connection
    for plugin in connection.plugins:
        if process := Process.running(plugin["pid"]):
            process.stop()


class Recorder:
    """An endpoint that passes requests on to the emulated AWS and keeps them."""

    def __init__(self, upstream: str) -> None:
        self.requests: list[tuple[str, Any]] = []
        address = urlsplit(upstream).netloc
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                name = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
                recorder.requests.append((name, body.decode()))
                connection = http.client.HTTPConnection(address)
                connection.request("POST", self.path, body, dict(self.headers))
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@dataclass(frozen=True)
class Proxied:
    """A run of ssh's proxy."""

    output: bytes
    error: str
    requests: list[tuple[str, Any]]
    plugin: dict[str, Any]


@pytest.fixture(scope="module")
def proxied(opened: Connection, provisioned: Stack) -> Proxied:
    """Run the ProxyCommand as ssh does, with something to say on stdin."""
    environment = provisioned.environment(LOCAL)
    recorder = Recorder(environment["AWS_ENDPOINT_URL"])
    done = subprocess.run(
        opened.proxy_command,
        env={**environment, **opened.environment, "AWS_ENDPOINT_URL": recorder.url},
        cwd="/",
        input=b"SSH-2.0-client\r\n",
        capture_output=True,
        check=False,
    )
    recorder.close()
    return Proxied(done.stdout, done.stderr.decode(), recorder.requests, opened.plugins[-1])


def test_the_printed_line_reaches_the_database_and_verifies_it(
    opened: Connection, provisioned: Stack
) -> None:
    line = re.search(r'psql "([^"]+)"', opened.play.message.replace("\\ ", ""))
    arn = re.search(r"--secret-id '([^']+)'", opened.play.message)
    assert line
    assert arn
    secrets = provisioned.client("secretsmanager", LOCAL)
    password = json.loads(secrets.get_secret_value(SecretId=arn[1])["SecretString"])["password"]
    connection = psycopg2.connect(line[1], password=password, connect_timeout=10)
    try:
        parameters = connection.info.dsn_parameters
        with connection.cursor() as cursor:
            cursor.execute("select current_database(), current_user")
            assert cursor.fetchone() == ("app", "postgres")
    finally:
        connection.close()
    assert (parameters["sslmode"], parameters["hostaddr"]) == ("verify-full", "127.0.0.1")


def test_the_tunnel_has_the_credentials_of_the_connect_role(
    opened: Connection, provisioned: Stack
) -> None:
    session = opened.plugins[0]["answer"]["SessionId"]
    active = provisioned.client("ssm", LOCAL).describe_sessions(State="Active")["Sessions"]
    (owner,) = [s["Owner"] for s in active if s["SessionId"] == session]
    role = provisioned.client("iam", LOCAL).get_role(RoleName="schema-migrations-connect")["Role"]
    assert owner.startswith(f"{role['RoleId']}:")


def test_connecting_again_changes_nothing(opened: Connection, playbook: Playbooks) -> None:
    again = playbook("playbooks/connect.yml", "local", *opened.options, **opened.environment)
    assert again.status == 0, again.output
    assert again.count("changed") == 0, again.output


def test_no_token_is_printed(opened: Connection) -> None:
    assert opened.plugins[0]["answer"]["TokenValue"] not in opened.play.message


def test_only_the_owner_can_read_the_key(opened: Connection) -> None:
    assert (opened.folder / "ssh_key").stat().st_mode & 0o777 == 0o600


def test_unknown_host_keys_are_learned_and_changed_ones_refused(opened: Connection) -> None:
    text = (opened.folder / "ssh_config").read_text()
    assert "StrictHostKeyChecking accept-new" in text
    assert f'UserKnownHostsFile "{opened.folder}/known_hosts"' in text


def test_the_proxy_pushes_the_public_key_and_starts_a_session(
    proxied: Proxied, opened: Connection
) -> None:
    pushed, started = (json.loads(body) for name, body in proxied.requests if name)
    instance = opened.plugins[0]["request"]["Target"]
    public = (opened.folder / "ssh_key.pub").read_text()
    assert pushed == {
        "InstanceId": instance,
        "InstanceOSUser": "ec2-user",
        "SSHPublicKey": public,
    }
    assert started == {
        "Target": instance,
        "DocumentName": "AWS-StartSSHSession",
        "Parameters": {"portNumber": ["22"]},
    }


def test_the_private_key_never_leaves(proxied: Proxied, opened: Connection) -> None:
    private = (opened.folder / "ssh_key").read_text().splitlines()[1:-1]
    left = json.dumps([proxied.requests, proxied.plugin, proxied.error])
    assert not any(line in left for line in private)


def test_stdin_and_stdout_are_the_connection(proxied: Proxied) -> None:
    assert proxied.output == b"SSH-2.0-bastion\r\nSSH-2.0-client\r\n"
    assert proxied.error == ""


def test_the_proxys_token_is_in_no_argument(proxied: Proxied) -> None:
    token = proxied.plugin["answer"]["TokenValue"]
    assert not any(token in argument for argument in proxied.plugin["arguments"])


def test_the_proxy_says_in_one_line_why_it_cannot_connect(
    opened: Connection, provisioned: Stack
) -> None:
    done = subprocess.run(
        opened.proxy_command,
        env={**provisioned.environment(LOCAL), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.fullmatch(
        r"No connection to i-\w+: session-manager-plugin is not installed: \S+\n", done.stderr
    )


def test_a_stopped_bastion_is_named_and_started_by_its_playbook(
    opened: Connection, provisioned: Stack, playbook: Playbooks
) -> None:
    instance = opened.plugins[0]["request"]["Target"]
    ec2 = provisioned.client("ec2", LOCAL)
    ec2.stop_instances(InstanceIds=[instance])
    refused = playbook("playbooks/connect.yml", "local", *opened.options, **opened.environment)
    started = playbook("playbooks/bastion.yml", "local")
    (found,) = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"]
    assert refused.status != 0
    assert (
        "The bastion 'schema-migrations-local-bastion' is stopped. "
        "Run first: ansible-playbook playbooks/bastion.yml -i inventories/local" in refused.message
    )
    assert started.status == 0, started.output
    assert found["State"]["Name"] == "running"


def test_a_newer_image_does_not_replace_the_bastion(
    provisioned: Stack, playbook: Playbooks
) -> None:
    newer = "/aws/service/ami-amazon-linux-latest/al2023-ami-minimal-kernel-default-arm64"
    play = playbook("playbooks/bastion.yml", "local", "-e", f"bastion_image_parameter={newer}")
    assert play.status == 0, play.output
    assert play.count("changed") == 0, play.output


def test_a_type_for_another_processor_than_the_image_is_refused(
    provisioned: Stack, playbook: Playbooks
) -> None:
    play = playbook("playbooks/bastion.yml", "local", "-e", "bastion_instance_type=t3.nano")
    assert play.status != 0
    assert play.count("changed") == 0
    assert "The instance type t3.nano and the image" in play.message
    assert "are for different processors" in play.message


def test_a_bastion_that_is_no_longer_wanted_goes(provisioned: Stack, playbook: Playbooks) -> None:
    unwanted = ("-e", '{"bastion_wanted": false}', "--check")
    play = playbook("playbooks/bastion.yml", "local", *unwanted)
    assert play.changed == {
        "bastion : Remove the bastion",
        "bastion : Remove its role and profile",
    }, play.output


def test_without_a_bastion_there_is_no_tunnel(playbook: Playbooks) -> None:
    play = playbook("playbooks/connect.yml", "local", "-e", '{"bastion_wanted": false}')
    assert play.status != 0
    assert "Set bastion_wanted: true in inventories/local/group_vars/aws.yml" in play.message


def test_closing_ends_the_tunnel(opened: Connection, playbook: Playbooks) -> None:
    process = Process.running(opened.plugins[0]["pid"])
    closed = playbook(
        "playbooks/connect.yml",
        "local",
        *opened.options,
        "-e",
        "connect=closed",
        **opened.environment,
    )
    assert closed.status == 0, closed.output
    assert process
    assert not process.alive
