"""The stack starts, stops and recovers, and never mistakes a stranger for its own."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psycopg2
import pytest

from local.errors import LocalError
from local.process.daemon import Daemon
from local.stack import Stack
from local.state import State
from runner.embedded.ports import free_port
from runner.embedded.process import Process, command_line

PORTS = ("aws", "pipeline", "database", "psql")


class Moved:
    """A stack whose ports are variables of the environment; calling it sets or removes some."""

    def __init__(self, folder, monkeypatch):
        self.stack = Stack(State(folder))
        self._environment = monkeypatch

    def __call__(self, **ports):
        for name, port in ports.items():
            variable = f"LOCAL_{name.upper()}_PORT"
            if port is None:
                self._environment.delenv(variable, raising=False)
            else:
                self._environment.setenv(variable, port)


@pytest.fixture
def moved(tmp_path, monkeypatch):
    emulated = Moved(tmp_path / "state", monkeypatch)
    emulated(**{name: str(free_port()) for name in PORTS})
    yield emulated
    emulated.stack.down()


def processes(stack):
    names = [path.stem for path in stack.state.folder.glob("*.pid")]
    return {name: Process.recorded(stack.state.pid_file(name)) for name in names}


def create(stack):
    return stack.client("rds").create_db_cluster(
        DBClusterIdentifier="shop", Engine="aurora-postgresql", EngineVersion="16.11",
        MasterUsername="postgres", ManageMasterUserPassword=True, DatabaseName="shop",
    )["DBCluster"]  # fmt: skip


def query(stack, statement):
    url, pgpass = stack.database()
    connection = psycopg2.connect(url, passfile=pgpass)
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else None
    connection.close()
    return rows


def of_the_state(stack):
    """All processes that have anything to do with the stack's folder."""
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    lines = [command_line(pid) for pid in pids if pid != os.getpid()]
    return [line for line in lines if any(str(stack.state.folder) in text for text in line)]


def open_files(process):
    return {str(entry.readlink()) for entry in Path(f"/proc/{process.pid}/fd").iterdir()}


def test_up_again_changes_nothing(own):
    assert own.up()
    before = processes(own)
    assert not own.up()
    assert processes(own) == before
    assert set(before) == {"aws", "pipeline"}


def test_down_leaves_no_process_and_data_outlives_it(own):
    own.up()
    port = create(own)["Port"]
    query(own, "create table kept (id int)")
    assert of_the_state(own)
    own.down()
    assert of_the_state(own) == []
    own.up()
    assert create(own)["Port"] == port
    assert query(own, "select count(*) from kept") == [(0,)]


def test_killed_processes_are_replaced_and_the_database_is_adopted(own):
    own.up()
    create(own)
    query(own, "create table kept (id int)")
    for process in processes(own).values():
        process.stop(how=signal.SIGKILL)
    assert own.up()
    create(own)
    assert query(own, "select count(*) from kept") == [(0,)]


def test_a_pid_file_naming_a_stranger_harms_nobody(own):
    own.up()
    own.down()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        own.state.pid_file("aws").write_text(json.dumps([stranger.pid, "1"]))
        assert own.up()
        own.state.pid_file("pipeline").write_text(json.dumps([stranger.pid, "1"]))
        assert not own.up()
        own.down()
        assert stranger.poll() is None
        assert of_the_state(own) == []
        stranger.communicate(b"\n")


def test_a_taken_port_is_named_with_its_holder_and_the_way_out(own):
    port = own.state.port
    own.state.make()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port("aws")))
        taken.listen()
        with pytest.raises(
            LocalError, match=rf"port {port('aws')}.*process {os.getpid()}.*LOCAL_AWS_PORT=PORT"
        ):
            own.up()
    own.up()


def test_all_taken_ports_are_named_at_once_before_anything_starts(moved):
    taken = {name: socket.create_server(("127.0.0.1", 0)) for name in ("AWS", "PIPELINE", "PSQL")}
    held = {name: str(listener.getsockname()[1]) for name, listener in taken.items()}
    moved(**held)
    with pytest.raises(LocalError) as refused:
        moved.stack.up()
    for listener in taken.values():
        listener.close()
    said = str(refused.value)
    assert all(f"port {port}, meant for " in said for port in held.values())
    assert said.count(f"is taken by process {os.getpid()} (") == 3
    assert said.endswith(
        "stop those, or choose others with "
        "LOCAL_AWS_PORT=PORT LOCAL_PIPELINE_PORT=PORT LOCAL_PSQL_PORT=PORT"
    )
    assert of_the_state(moved.stack) == []
    moved(**dict.fromkeys(held, None))
    assert not {*map(int, held.values())} & {*map(moved.stack.state.port, PORTS)}


def test_one_port_for_two_is_refused(moved):
    port = str(free_port())
    moved(DATABASE=port, PSQL=port)
    with pytest.raises(LocalError, match=f"{port}, meant for the database, with TLS, is"):
        moved.stack.up()
    assert of_the_state(moved.stack) == []


def test_a_start_that_fails_stops_what_it_started(own, monkeypatch):
    wait = Daemon.wait

    def waiting(daemon):
        wait(daemon)
        if daemon.name == "pipeline":
            raise LocalError("the pipelines did not start")

    monkeypatch.setattr(Daemon, "wait", waiting)
    with pytest.raises(LocalError, match="the pipelines did not start"):
        own.up()
    assert of_the_state(own) == []
    assert processes(own) == {}


def test_the_database_moves_to_other_ports_also_while_the_emulator_runs(moved):
    stack = moved.stack
    stack.up()
    create(stack)
    query(stack, "create table kept (id int)")
    where = {"DATABASE": str(free_port()), "PSQL": str(free_port())}
    moved(**where)
    assert stack.up()
    assert create(stack)["Port"] == int(where["DATABASE"])
    assert query(stack, "select count(*) from kept") == [(0,)]
    assert f"127.0.0.1:{where['PSQL']}/shop" in stack.database()[0]
    moved(**dict.fromkeys(PORTS, None))
    assert not stack.up()
    assert [str(stack.state.port(name)) for name in ("database", "psql")] == [*where.values()]


def test_a_port_is_taken_from_the_environment_and_must_be_one(tmp_path, monkeypatch):
    state = State(tmp_path)
    port = free_port()
    monkeypatch.setenv("LOCAL_AWS_PORT", str(port))
    assert state.port("aws") == port
    state.remember({"aws": port})
    monkeypatch.delenv("LOCAL_AWS_PORT")
    assert State(tmp_path).port("aws") == port
    monkeypatch.setenv("LOCAL_AWS_PORT", str(port + 1))
    assert (state.port("aws"), state.wanted_port("aws")) == (port, port + 1)
    monkeypatch.setenv("LOCAL_AWS_PORT", "http")
    with pytest.raises(LocalError, match="LOCAL_AWS_PORT=http is not a port"):
        state.port("aws")


def test_everything_is_written_into_the_state_folder_and_listens_on_loopback(own):
    own.up()
    create(own)
    own.client("s3").create_bucket(
        Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    environment = own.state.folder / "env"
    assert "unset AWS_PROFILE" in environment.read_text()
    files = set().union(*map(open_files, processes(own).values()))
    inside = (str(own.state.folder), "/dev/", "/proc/")
    assert not [name for name in files if name[0] == "/" and not name.startswith(inside)]
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in files]
    assert listening
    assert all(address.startswith("0100007F:") for address in listening)
