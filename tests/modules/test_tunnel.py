"""The tunnel's module: it opens one, leaves an open one, and says why it cannot."""

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.stack import Stack
from runner.embedded.ports import free_port
from runner.embedded.process import Process
from tests.modules import harness
from tests.modules.harness import Outcome

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "tests/doubles"
Tunnel = Callable[..., Outcome]


@pytest.fixture(scope="session")
def instance(stack: Stack) -> str:
    """Start an instance."""
    ec2 = stack.client("ec2")
    started = ec2.run_instances(ImageId="ami-0c2023a1b2c3d4e60", MinCount=1, MaxCount=1)
    return str(started["Instances"][0]["InstanceId"])


@pytest.fixture
def echo() -> Iterator[int]:
    """Give a port that greets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Path]:
    """Give the file in which the plugin writes what it was given; afterwards no plugin runs."""
    path = tmp_path / "record"
    yield path
    for line in path.read_text().splitlines() if path.exists() else []:
        if process := Process.running(json.loads(line)["pid"]):
            process.stop()


@pytest.fixture
def tunnel(stack: Stack, instance: str, echo: int, record: Path, tmp_path: Path) -> Tunnel:
    """Run the module; the host behind the instance is this machine."""
    port = free_port()

    def run(
        *, check: bool = False, environment: dict[str, str] | None = None, **given: Any
    ) -> Outcome:
        arguments = {
            "instance_id": instance,
            "host": "127.0.0.1",
            "port": echo,
            "local_port": port,
            "log": str(tmp_path / "tunnel.log"),
            "region": "eu-central-1",
            **given,
        }
        surroundings = {
            **stack.environment(),
            "PATH": f"{PLUGIN}:{os.environ['PATH']}",
            "PLUGIN_RECORD": str(record),
            **(environment or {}),
        }
        outcome = harness.run_apart("tunnel", surroundings, check=check, **arguments)
        return Outcome({**outcome.result, "local_port": arguments["local_port"]})

    return run


def given(record: Path) -> list[dict[str, Any]]:
    """Return what each plugin was given."""
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def accepts(port: int) -> bool:
    """Whether something listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_port_accepts_when_the_module_ends(tunnel: Tunnel) -> None:
    result = tunnel()
    assert result["changed"]
    assert accepts(result["local_port"])


def test_an_open_tunnel_is_left_as_it_is(tunnel: Tunnel, record: Path) -> None:
    first, second = tunnel(), tunnel()
    assert (second["changed"], second["pid"]) == (False, first["pid"])
    assert len(given(record)) == 1


def test_check_mode_opens_nothing(tunnel: Tunnel, record: Path) -> None:
    result = tunnel(check=True)
    assert (result["changed"], result["pid"]) == (True, 0)
    assert given(record) == []


def test_the_token_is_in_no_argument_and_no_file(
    tunnel: Tunnel, record: Path, tmp_path: Path
) -> None:
    result = tunnel()
    (plugin,) = given(record)
    token = plugin["answer"]["TokenValue"]
    assert not any(token in argument for argument in plugin["arguments"])
    assert token not in (tmp_path / "tunnel.log").read_text()
    assert token not in json.dumps(result.result)


def test_only_the_owner_can_read_the_log(tunnel: Tunnel, tmp_path: Path) -> None:
    tunnel()
    assert (tmp_path / "tunnel.log").stat().st_mode & 0o777 == 0o600


def test_the_plugin_is_told_what_it_needs_to_resume(
    tunnel: Tunnel, record: Path, stack: Stack
) -> None:
    tunnel()
    (plugin,) = given(record)
    assert (plugin["region"], plugin["profile"]) == ("eu-central-1", "")
    assert plugin["endpoint"] == stack.environment()["AWS_ENDPOINT_URL"]


def test_given_credentials_replace_a_profile_of_the_environment(
    tunnel: Tunnel, record: Path, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("[profile somebody]\n")
    keys = {"access_key": "000000000000", "secret_key": "emulated-secret", "profile": ""}
    tunnel(**keys, environment={"AWS_PROFILE": "somebody", "AWS_CONFIG_FILE": str(config)})
    (plugin,) = given(record)
    assert plugin["environment"]["AWS_ACCESS_KEY_ID"] == "000000000000"
    assert "AWS_PROFILE" not in plugin["environment"]


def test_closing_interrupts_the_plugin_which_ends_its_session(
    tunnel: Tunnel, tmp_path: Path
) -> None:
    opened = tunnel()
    closed = tunnel(state="absent")
    assert (closed["changed"], closed["pid"]) == (True, 0)
    assert not accepts(opened["local_port"])
    assert "Terminate signal received" in (tmp_path / "tunnel.log").read_text()


def test_closing_in_check_mode_leaves_it_open(tunnel: Tunnel) -> None:
    opened = tunnel()
    closed = tunnel(check=True, state="absent")
    assert (closed["changed"], closed["pid"]) == (True, opened["pid"])
    assert accepts(opened["local_port"])


def test_closing_what_is_not_open_changes_nothing(tunnel: Tunnel) -> None:
    assert not tunnel(state="absent")["changed"]


def test_a_missing_plugin_is_asked_for(tunnel: Tunnel, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ps").symlink_to(str(shutil.which("ps")))
    result = tunnel(environment={"PATH": str(tmp_path / "bin")})
    assert result.message.startswith("session-manager-plugin is not installed: https://docs.aws")


def test_a_plugin_that_takes_the_token_as_an_argument_is_refused(
    tunnel: Tunnel, record: Path
) -> None:
    result = tunnel(environment={"PLUGIN_VERSION": "1.2.497.0"})
    assert "has the version 1.2.497.0, which shows the session's token" in result.message
    assert given(record) == []


def test_a_taken_port_is_refused_before_a_session_starts(
    tunnel: Tunnel, echo: int, stack: Stack
) -> None:
    before = sessions(stack)
    result = tunnel(local_port=echo)
    assert f"Port {echo} of this machine cannot be used" in result.message
    assert "choose another local_port" in result.message
    assert sessions(stack) == before


def test_a_plugin_that_fails_is_quoted(tunnel: Tunnel) -> None:
    result = tunnel(environment={"PLUGIN_FAILURE": "websocket: bad handshake"})
    assert "Cannot perform start session: websocket: bad handshake" in result.message
    assert not accepts(result["local_port"])


def sessions(stack: Stack) -> int:
    """Count the sessions that were started."""
    return len(stack.client("ssm").describe_sessions(State="Active")["Sessions"])
