"""The embedded server starts, and starts again, whatever happened to it."""

import os
import signal
import socket

import psycopg2
import pytest

from local.errors import LocalError
from runner.embedded import Server, embedded_bin_dir
from runner.embedded.ports import free_port
from runner.embedded.process import Process


@pytest.fixture
def home(tmp_path):
    return tmp_path / "server"


@pytest.fixture
def own(home):
    server = Server(embedded_bin_dir(), home, free_port(), durable=False)
    yield server
    server.stop()


def query(server, sql, database="postgres"):
    connection = psycopg2.connect(server.url(database))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def postmaster(server):
    return int((server.data / "postmaster.pid").read_text().split()[0])


def test_each_test_gets_an_empty_database(database):
    connection = psycopg2.connect(database)
    with connection, connection.cursor() as cursor:
        cursor.execute("create table t (id int); select count(*) from pg_class where relname = 't'")
        assert cursor.fetchone() == (1,)
    connection.close()


def test_a_database_does_not_see_the_last_one(database):
    connection = psycopg2.connect(database)
    with connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from pg_class where relname = 't'")
        assert cursor.fetchone() == (0,)
    connection.close()


def test_data_outlives_a_restart_and_no_process_stays(own):
    own.start()
    query(own, "create table kept (id int)")
    process = Process.running(postmaster(own))
    own.stop()
    assert not process.alive
    own.start()
    assert query(own, "select count(*) from kept") == [(0,)]


def test_a_running_server_is_adopted(own, home):
    own.start()
    pid = postmaster(own)
    Server(embedded_bin_dir(), home, own.port, durable=False).start()
    assert postmaster(own) == pid


def test_a_server_on_another_port_is_moved(own, home):
    own.start()
    other = Server(embedded_bin_dir(), home, free_port(), durable=False)
    other.start()
    try:
        assert query(other, "show port") == [(str(other.port),)]
    finally:
        other.stop()


def test_a_killed_server_starts_again_with_what_was_committed(own):
    own.durable = True
    own.start()
    query(own, "create table kept (id int)")
    own._child.kill()
    own._child.wait()
    assert (own.data / "postmaster.pid").exists()
    own.start()
    assert query(own, "select count(*) from kept") == [(0,)]


def test_a_pid_file_naming_a_stranger_harms_nobody(own):
    own.start()
    own.stop()
    (own.data / "postmaster.pid").write_text(f"{os.getpid()}\n{own.data}\n1\n{own.port}\n")
    own.start()
    assert query(own, "select 1") == [(1,)]
    assert postmaster(own) != os.getpid()


def test_an_interrupted_initdb_is_made_again(own, home):
    half = home / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    own.start()
    assert query(own, "select 1") == [(1,)]
    assert not half.exists()


def test_a_wrong_password_is_refused_and_the_right_one_is_private(own, home):
    own.start()
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(own.url().replace(own.password, "wrong"))
    assert (home / "password").stat().st_mode & 0o777 == 0o600
    assert not (home / "password.initdb").exists()


def test_the_server_keeps_a_verifier_that_takes_one_round(own):
    own.start()
    kept = query(own, "select rolpassword from pg_authid where rolname = 'postgres'")
    assert kept[0][0].startswith("SCRAM-SHA-256$1:")


def test_a_taken_port_is_named_with_its_holder_and_the_way_out(own):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", own.port))
        taken.listen()
        with pytest.raises(LocalError, match=rf"port {own.port}.*process {os.getpid()}.*=PORT"):
            own.start()
    own.start()


def test_why_a_server_cannot_start_is_said(own):
    own.start()
    own.stop()
    with (own.data / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(LocalError, match="no_such_setting"):
        own.start()


def test_it_listens_on_loopback_without_a_unix_socket(own):
    own.start()
    assert query(own, "select current_setting('listen_addresses')") == [("127.0.0.1",)]
    assert query(own, "select current_setting('unix_socket_directories')") == [("",)]


def test_stopping_waits_for_nobodys_session(own):
    own.start()
    session = psycopg2.connect(own.url())
    process = Process.running(postmaster(own))
    own.stop()
    session.close()
    assert not process.alive
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, signal.SIGCONT)
