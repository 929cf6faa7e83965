"""Reaching the database: what is retried, what is final, what is never shown."""

import contextlib
import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg2.extensions import parse_dsn

from runner.database.connection import patience, target
from runner.embedded import Server, embedded_bin_dir
from runner.embedded.ports import free_port
from runner.errors import ConfigurationError
from tests.runner.project import Project


def test_unreachable_server_is_exit_9_and_says_what_to_check(project: Project) -> None:
    project.url = "postgresql://u:hunter2@127.0.0.1:1/db"
    document = project.run("migrate")
    assert document["exit_code"] == 9
    assert "refused" in document["error"]["message"]
    assert "hunter2" not in str(document)


def test_wrong_password_is_final_at_once(project: Project) -> None:
    """With a minute to wait, this test would show a second try by its time."""
    project.url = re.sub(r":[^:@/]+@", ":wrong@", project.url)
    code, out, err = project.text("migrate", "--connect-wait", "60")
    assert code == 9
    assert "password authentication failed" in out
    assert "waiting" not in err


def test_missing_database_is_named(project: Project) -> None:
    project.url += "_none"
    assert "does not exist" in project.run("migrate")["error"]["message"]


def test_server_that_wakes_up_is_waited_for(project: Project) -> None:
    project.url = "postgresql://u@127.0.0.1:1/db"
    code, _, err = project.text("migrate", "--connect-wait", "0.6")
    assert code == 9
    assert "waiting for the database" in err


@pytest.mark.parametrize(
    ("url", "seconds"),
    [
        ("postgresql://u@127.0.0.1/db", 10),
        ("dbname=db", 10),
        ("postgresql://u@localhost,db.example/db", 60),
        ("postgresql://u@db.example/db", 60),
    ],
)
def test_a_server_of_this_machine_is_not_waited_for_as_one_that_is_resumed(
    url: str, seconds: float
) -> None:
    assert patience(target(url, {})) == seconds


def test_read_only_target_is_refused(project: Project) -> None:
    name = parse_dsn(project.url)["dbname"]
    project.query(f"alter database {name} set default_transaction_read_only = on")
    document = project.run("migrate")
    assert (document["exit_code"], document["error"]["message"]) == (9, "this session is read-only")


def test_unreadable_url_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigurationError) as raised:
        target("postgresql://u:hunter2@[bad/db", {})
    assert "hunter2" not in f"{raised.value} {raised.value.fix} {raised.value.details}"


def test_no_database_given_says_how_to_give_one() -> None:
    with pytest.raises(ConfigurationError, match="no database given") as raised:
        target(None, {})
    assert "--database-url" in str(raised.value.fix)


def test_url_wins_over_the_environment() -> None:
    environ = {"DATABASE_URL": "postgresql://b/two", "PGHOST": "c", "PGPORT": "5433"}
    assert target("postgresql://a/one", environ).describe() == {
        "host": "a",
        "port": "5433",
        "dbname": "one",
    }
    assert target(None, environ).describe()["host"] == "b"


def test_session_says_who_it_is(project: Project) -> None:
    project.file("V1__a.sql", "create table seen as select current_setting('application_name') n")
    project.run("migrate", "--run-id", "exec-7-prod")
    assert project.query("select n from seen") == [("schema-migrations/exec-7-prod",)]


_ROLES = """
    drop role if exists migrator_test; drop role if exists owner_test;
    create role owner_test; create role migrator_test login password 'm' in role owner_test;
"""


@pytest.fixture
def owned(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Give a project whose login migrates as the role that owns the schema."""
    administrator = Project.__new__(Project)
    administrator.url = project.url
    name = parse_dsn(project.url)["dbname"]
    project.query(_ROLES)
    project.query(f"alter database {name} owner to owner_test")
    monkeypatch.setenv("DATABASE_ROLE", "owner_test")
    project.url = re.sub("//[^@]+@", "//migrator_test:m@", project.url)
    yield project
    administrator.query("reassign owned by migrator_test, owner_test to current_user")
    administrator.query("drop owned by migrator_test, owner_test")
    administrator.query("drop role migrator_test; drop role owner_test")


def test_new_objects_belong_to_the_owner_role(owned: Project) -> None:
    owned.file("V1__a.sql", "create table a (n int)")
    owned.file("V2__b.sql", "alter table a add b text")
    assert owned.run("migrate")["outcome"] == "applied"
    sql = "select tableowner from pg_tables where tablename in ('a', 'schema_version')"
    assert set(owned.query(sql)) == {("owner_test",)}


def test_object_of_another_owner_fails_the_file(owned: Project) -> None:
    owned.file("V1__a.sql", "reset role;\ncreate schema mine authorization migrator_test;\n")
    document = owned.run("migrate")
    assert document["exit_code"] == 3
    assert "made for another owner than owner_test" in document["error"]["message"]
    assert "migrator_test" in document["error"]["message"]
    assert owned.query("select to_regnamespace('mine')") == [(None,)]


@pytest.fixture
def standby(tmp_path: Path) -> Iterator[Server]:
    """Give a server that replays another one's log, of which there is none."""
    server = Server(embedded_bin_dir(), tmp_path / "standby", free_port(), durable=False)
    with server:
        pass
    (server.data / "standby.signal").touch()
    with server:
        yield server


def test_standby_is_refused(project: Project, standby: Server) -> None:
    project.url = standby.url()
    document = project.run("migrate", "--connect-wait", "0.3")
    assert (document["exit_code"], document["error"]["message"]) == (9, "this server is a standby")


def test_standby_that_takes_over_is_waited_for(project: Project, standby: Server) -> None:
    project.url = standby.url()
    project.file("V1__a.sql", "create table a ()")
    process = project.start("--connect-wait", "50", "migrate")
    assert process.stderr
    assert "waiting for the writer" in process.stderr.readline()
    project.query("select pg_promote()")
    assert project.finish(process)["exit_code"] == 0


_KEY_DATA = re.compile(rb"(K\0\0\0\x0c)....", re.DOTALL)


@contextlib.contextmanager
def pooled(url: str) -> Iterator[str]:
    """Give the URL of a relay that, like a pooler, announces a backend that is not the server's."""
    upstream = parse_dsn(url)

    def pump(source: socket.socket, sink: socket.socket) -> None:
        while data := source.recv(65536):
            sink.sendall(_KEY_DATA.sub(lambda key: key[1] + bytes([0, 0, 0, 7]), data))
        sink.shutdown(socket.SHUT_WR)

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((upstream["host"], int(upstream["port"]))) as server:
                back = threading.Thread(target=pump, args=(server, self.request))
                back.start()
                pump(self.request, server)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as relay:
        thread = threading.Thread(target=relay.serve_forever)
        thread.start()
        yield url.replace(f":{upstream['port']}/", f":{relay.server_address[1]}/")
        relay.shutdown()
        thread.join()


def test_pooler_that_may_move_the_session_is_refused(project: Project) -> None:
    with pooled(project.url) as url:
        project.url = url
        document = project.run("migrate")
    assert document["exit_code"] == 9
    assert "pooler" in document["error"]["message"]


@pytest.mark.parametrize("named", ["in the URL", "in the environment"])
def test_service_counts_more_than_the_environment_as_for_libpq(named: str) -> None:
    environ = {"PGDATABASE": "wrong", "PGHOST": "wrong", "PGUSER": "wrong"}
    if named == "in the environment":
        environ["PGSERVICE"] = "prod"
    found = target("service=prod" if named == "in the URL" else None, environ)
    assert "wrong" not in found.parameters.values()


_SECRET = {"DATABASE_SECRET_ARN": "arn:aws:secretsmanager:eu-central-1:1:secret:x"}
VERIFIED: dict[str, tuple[str, dict[str, str], str | None]] = {
    "socket": ("postgresql:///d", {}, None),
    "loopback": ("postgresql://u@127.0.0.1/d", {}, None),
    "name of the loopback": ("host=localhost,::1 dbname=d", {}, None),
    "other host": ("postgresql://u@db.internal/d", {}, "verify-full"),
    "other host among several": ("host=localhost,db.internal dbname=d", {}, "verify-full"),
    "address of another host": ("hostaddr=10.0.0.1 dbname=d", {}, "verify-full"),
    "name that only looks like it": ("host=127.0.0.1.evil.example dbname=d", {}, "verify-full"),
    "other host by PGHOST": ("dbname=d", {"PGHOST": "db.internal"}, "verify-full"),
    "secret on the loopback": ("postgresql://u@localhost/d", _SECRET, "verify-full"),
    "token on the loopback": (
        "postgresql://u@localhost/d",
        {"DATABASE_IAM_AUTH": "true"},
        "verify-full",
    ),
    "weaker by name": ("postgresql://u@db.internal/d?sslmode=require", _SECRET, "require"),
    "weaker by PGSSLMODE": (
        "postgresql://u@db.internal/d",
        {"PGSSLMODE": "prefer", **_SECRET},
        "prefer",
    ),
    "service, which says it itself": ("service=prod", {}, None),
}


@pytest.mark.parametrize("name", VERIFIED)
def test_tls_is_verified_unless_a_weaker_mode_is_named(name: str) -> None:
    url, environ, mode = VERIFIED[name]
    assert target(url, environ).parameters.get("sslmode") == mode


def test_server_without_tls_gets_no_password_of_a_host_that_is_not_this_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_IAM_AUTH", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    document = project.run("status")
    assert document["exit_code"] == 9
    assert "sslmode" in document["error"]["fix"]
