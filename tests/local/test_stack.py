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
from local.process import Process, command_line, free_port
from local.stack import Stack
from local.state import State


@pytest.fixture
def own(tmp_path):
    """A stack of this test's own, so that it may be killed."""
    emulated = Stack(State.of_tests(tmp_path / "state"))
    yield emulated
    emulated.down()


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
        own.down()
        assert stranger.poll() is None
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


def test_a_port_is_taken_from_the_environment_and_must_be_one(tmp_path, monkeypatch):
    state = State(tmp_path)
    port = free_port()
    monkeypatch.setenv("LOCAL_AWS_PORT", str(port))
    assert state.port("aws") == port
    monkeypatch.delenv("LOCAL_AWS_PORT")
    assert State(tmp_path).port("aws") == port
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
