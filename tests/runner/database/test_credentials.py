"""Logging in on AWS: a secret fetched anew each time, a token made on the spot."""

import contextlib
import http.server
import json
import os
import socketserver
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from local.stack import Stack
from tests.runner.project import Project

ACCOUNT = "111122223333"


@pytest.fixture
def aws(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """Let this process talk to the emulated AWS."""
    for name, value in stack.environment(ACCOUNT).items():
        monkeypatch.setenv(name, value)
    return stack


def without_password(project: Project) -> dict[str, str]:
    """Take the credentials out of the project's URL and return them as a secret's body.

    The server here has no TLS, which a secret is not sent without unless it is asked for by name.
    """
    parameters = parse_dsn(project.url)
    secret = {"username": parameters.pop("user"), "password": parameters.pop("password")}
    project.url = make_dsn(**parameters, sslmode="disable")
    return secret


def test_user_and_password_come_from_the_secret(
    project: Project, aws: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = without_password(project)
    client = aws.client("secretsmanager", ACCOUNT)
    arn = client.create_secret(Name="credentials-test", SecretString=json.dumps(secret))["ARN"]
    monkeypatch.setenv("DATABASE_SECRET_ARN", arn)
    document = project.run("status")
    client.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    assert document["error"] is None
    assert document["target"]["user"] == secret["username"]
    assert secret["password"] not in json.dumps(document)


def test_secret_that_may_not_be_read_says_which_right_is_missing(
    project: Project, aws: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_password(project)
    arn = f"arn:aws:secretsmanager:eu-central-1:{ACCOUNT}:secret:none-AbCdEf"
    monkeypatch.setenv("DATABASE_SECRET_ARN", arn)
    document = project.run("migrate")
    assert document["exit_code"] == 9
    assert "secretsmanager:GetSecretValue" in document["error"]["fix"]


@contextlib.contextmanager
def secrets_manager(*bodies: str) -> Iterator[tuple[str, list[str]]]:
    """Give an endpoint that answers one body after the other, the last for ever, and its log."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.headers["X-Amz-Target"])
            self.rfile.read(int(self.headers["Content-Length"]))
            body = bodies[min(len(asked), len(bodies)) - 1]
            answer = json.dumps({"ARN": "arn", "SecretString": body}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_secret_that_was_just_rotated_is_fetched_once_more(
    project: Project, aws: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = without_password(project)
    old = {**new, "password": "the one before"}
    monkeypatch.setenv("DATABASE_SECRET_ARN", "arn")
    with secrets_manager(json.dumps(old), json.dumps(new)) as (endpoint, asked):
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", endpoint)
        assert project.run("status")["exit_code"] == 0
    assert len(asked) == 2


def test_wrong_secret_is_tried_twice_and_no_more(
    project: Project, aws: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = json.dumps({**without_password(project), "password": "wrong"})
    monkeypatch.setenv("DATABASE_SECRET_ARN", "arn")
    with secrets_manager(wrong) as (endpoint, asked):
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", endpoint)
        assert project.run("status", "--connect-wait", "30")["exit_code"] == 9
    assert len(asked) == 2


@pytest.mark.parametrize("body", ["hunter2", '["hunter2", "x"]', "null", "4711", "[" * 100_000])
def test_secret_of_another_form_is_refused_without_being_shown(
    project: Project, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    without_password(project)
    for name, value in {**SOME_AWS, "DATABASE_SECRET_ARN": "arn"}.items():
        monkeypatch.setenv(name, value)
    with secrets_manager(body) as (endpoint, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", endpoint)
        document = project.run("status")
    assert document["exit_code"] == 2
    assert "is not JSON with username and password" in document["error"]["message"]
    assert "hunter2" not in json.dumps(document)


# What an environment lacks or has wrong, before anything of AWS is asked.
HINDRANCES = {
    "no region": {"AWS_DEFAULT_REGION": "", "AWS_REGION": ""},
    "no credentials": {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
    "no address": {"AWS_ENDPOINT_URL": "garbage"},
    "no file of a token": {
        "AWS_ACCESS_KEY_ID": "", "AWS_WEB_IDENTITY_TOKEN_FILE": "/nope", "AWS_ROLE_ARN": "arn:x",
    },
}  # fmt: skip
SOME_AWS = {
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "y",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.mark.parametrize("hindrance", HINDRANCES)
@pytest.mark.parametrize("login", ["DATABASE_SECRET_ARN", "DATABASE_IAM_AUTH", "invoke"])
def test_environment_without_a_way_to_aws_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch, login: str, hindrance: str
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    wanted = {**SOME_AWS, login: "true", **HINDRANCES[hindrance]}
    for name, value in wanted.items():
        if value:
            monkeypatch.setenv(name, value)
    project.url = "postgresql://u@127.0.0.1:1/d"
    asked = ["invoke", "--function", "f", "status"] if login == "invoke" else ["status"]
    document = project.run("--connect-wait", "0", *asked)
    assert document["exit_code"] == 2
    assert "set AWS_REGION, and credentials of a role that may" in document["error"]["fix"]


@contextlib.contextmanager
def password_collector() -> Iterator[tuple[int, list[str]]]:
    """Give the port of a server that asks for a password in clear, and what it was told."""
    told: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while True:
                length, code = struct.unpack("!II", self.rfile.read(8))
                self.rfile.read(length - 8)
                if code >> 16 == 3:
                    break
                self.wfile.write(b"N")  # neither TLS nor GSSAPI
            self.wfile.write(b"R" + struct.pack("!II", 8, 3))
            _, length = struct.unpack("!cI", self.rfile.read(5))
            told.append(self.rfile.read(length - 4).rstrip(b"\0").decode())
            error = b"SFATAL\0C28P01\0Mpassword authentication failed\0\0"
            self.wfile.write(b"E" + struct.pack("!I", len(error) + 4) + error)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1], told
        server.shutdown()
        thread.join()


def test_iam_authentication_logs_in_with_a_token_for_this_host_and_user(
    project: Project, aws: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_IAM_AUTH", "true")
    with password_collector() as (port, told):
        project.url = f"postgresql://migrator@127.0.0.1:{port}/app?sslmode=disable"
        document = project.run("migrate")
    assert document["exit_code"] == 9
    assert told[0].startswith(f"127.0.0.1:{port}/?Action=connect&DBUser=migrator")
    assert told[0] not in json.dumps(document)


def test_token_for_several_hosts_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_IAM_AUTH", "true")
    project.url = "host=127.0.0.1,127.0.0.1 port=1,2 user=u dbname=d"
    document = project.run("status")
    assert document["exit_code"] == 2
    assert "one host" in document["error"]["message"]
