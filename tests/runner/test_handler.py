"""The Lambda's event is checked, its failures raise with the whole result."""

import base64
import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg2.extensions import parse_dsn

from local.postgres.certificates import ensure_certificates
from runner import handler
from runner.commands.table import COMMANDS
from runner.errors import ConfigurationError
from runner.event import parse
from runner.files.packing import packed
from runner.result import Document, Line
from runner.shape import misfit
from tests.runner.project import Project
from tests.runner.schema import conforming

FUNCTION = "arn:aws:lambda:eu-central-1:111122223333:function:shop-dev-runner"
ALIASES = {
    "migrate": "live",
    "rollback": "admin",
    "baseline": "admin",
    "plan": "read",
    "rehearse": "rehearse",
}


def told(files: Any) -> str:
    """Return what an event says of files."""
    return base64.b64encode(packed(files)).decode()


class Context:
    """What Lambda hands to a handler."""

    def __init__(self, alias: str = "live") -> None:
        self.invoked_function_arn = f"{FUNCTION}:{alias}"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (None, "not an object"),
        ([], "not an object"),
        ({}, "unknown command None"),
        ({"command": "drop", "run_id": "r"}, "unknown command 'drop'"),
        ({"command": "migrate"}, "no run_id"),
        ({"command": "migrate", "run_id": 7}, "no run_id"),
        ({"command": "migrate", "run_id": "a\0b"}, "printable characters"),
        ({"command": "migrate", "run_id": "\ud800"}, "printable characters"),
        ({"command": "migrate", "run_id": "\x1b[2J"}, "printable characters"),
        ({"command": "migrate", "run_id": "x" * 201}, "printable characters"),
        ({"command": "migrate", "run_id": "r", "sql": "drop table x"}, "unknown keys: sql"),
        ({"command": "migrate", "run_id": "r", "options": {"to": "1"}}, "no option 'to'"),
        ({"command": "rollback", "run_id": "r", "options": {"steps": True}}, "takes a int"),
        ({"command": "migrate", "run_id": "r", "options": {"target": 3}}, "takes a str"),
        ({"command": "migrate", "run_id": "r", "options": {"target": "x"}}, "not a version"),
        ({"command": "migrate", "run_id": "r", "options": {"target": ""}}, "--target is empty"),
        ({"command": "migrate", "run_id": "r", "options": {"plan_digest": ""}}, "is empty"),
        ({"command": "migrate", "run_id": "r", "options": ["target"]}, "not an object"),
        ({"command": ["migrate"], "run_id": "r"}, "unknown command"),
        ({"command": "migrate", "run_id": "r", "files": "e30="}, "takes no files"),
        ({"command": "plan", "run_id": "r", "files": "%"}, "cannot be read"),
        ({"command": "plan", "run_id": "r", "files": {"V1__a.sql": ""}}, "neither a text nor"),
        ({"command": "plan", "run_id": "r", "files": {"sha256": "../x"}}, "neither a text nor"),
        ({"command": "plan", "run_id": "r", "files": {"sha256": 64 * "0"}}, "no FILES_BUCKET"),
        ({"command": "plan", "run_id": "r", "files": told({"../V1__a.sql": ""})}, "outside of"),
        ({"command": "plan", "run_id": "r", "files": told({"/V1__a.sql": ""})}, "outside of"),
        ({"command": "plan", "run_id": "r", "files": told({"V1__a.sql": 7})}, "names with"),
        ({"command": "migrate", "run_id": "r", "options": {"on_drift": "x"}}, "one of: warn, fail"),
        ({"command": "rollback", "run_id": "r"}, "rollback takes one of --to or --steps"),
        ({"command": "baseline", "run_id": "r"}, "baseline needs version"),
        ({"command": "verify", "run_id": "r"}, "unknown command 'verify'"),
        ({"command": "rehearse", "run_id": "r"}, "needs a copy"),
        ({"command": "plan", "run_id": "r", "copy": {"host": "h", "port": 1}}, "takes no copy"),
        ({"command": "rehearse", "run_id": "r", "copy": {"host": "h"}}, "copy is not"),
        ({"command": "rehearse", "run_id": "r", "copy": {"host": "h", "port": "1"}}, "copy is not"),
        (
            {"command": "rehearse", "run_id": "r", "copy": {"host": "h", "port": 1, "user": "u"}},
            "copy is not",
        ),
        ({"command": "migrate", "run_id": "r", "schema": "t"}, "it serves none"),
        ({"command": "migrate", "run_id": "r", "target": {"schema": "t"}}, "it serves none"),
        ({"command": "migrate", "run_id": "r", "target": {"name": "t"}}, "neither a schema nor"),
        ({"command": "migrate", "run_id": "r", "target": "t"}, "not an object"),
        (
            {"command": "baseline", "run_id": "r", "options": {"version": "1"}, "target": {}},
            "stands without",
        ),
        ({"command": "plan", "run_id": "r", "target": {}, "schema": "t"}, "stands without"),
        (
            {
                "command": "migrate",
                "run_id": "r",
                "target": {"name": "t", "function": FUNCTION},
                "files": "",
            },
            "takes no files",
        ),
    ],
)
def test_wrong_event_is_refused(event: Any, said: str) -> None:
    command = event.get("command") if isinstance(event, dict) else None
    alias = ALIASES.get(command, "live") if isinstance(command, str) else "live"
    with pytest.raises(ConfigurationError, match=said):
        parse(event, f"{FUNCTION}:{alias}")


@pytest.mark.parametrize(
    ("served", "schema", "said"),
    [
        ('["tenant_*"]', "billing", "does not serve schema billing"),
        ('["tenant_*"]', "x_tenant_1", "does not serve"),
        ('["a.c"]', "abc", "does not serve"),
        ('["*"]', "pg_catalog", "the server's own"),
        ('["tenant_*"]', None, "the call names none"),
        ('["tenant_*"]', "", "--schema is empty"),
        ('["tenant_*"]', 7, "takes a str"),
        ("tenant_*", "tenant_1", "no JSON array"),
        ('"tenant_1"', "tenant_1", "no JSON array"),
    ],
)
def test_schema_that_a_function_does_not_serve_is_refused(
    served: str, schema: object, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHEMAS", served)
    event = {"command": "migrate", "run_id": "r"}
    with pytest.raises(ConfigurationError, match=said):
        parse(event if schema is None else {**event, "schema": schema}, f"{FUNCTION}:live")


def test_schema_that_a_function_serves_is_migrated_and_nothing_beside_it(
    deployed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHEMAS", '["tenant_*", "shared"]')
    deployed.file("V1__a.sql", "create table a ()")
    event = {"command": "migrate", "run_id": "r", "options": {"create_schema": True}}
    document = conforming(handler.handle({**event, "schema": "tenant_7"}, Context()))
    assert (document["outcome"], document["target"]["schema"]) == ("applied", "tenant_7")
    found = "select to_regclass('tenant_7.a')::text, to_regclass('public.a')"
    assert deployed.query(found) == [("tenant_7.a", None)]


def test_target_of_a_fleet_is_answered_in_a_line_that_a_state_machine_carries(
    deployed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a failure Step Functions keeps 32,768 characters, as JSON inside of JSON."""
    monkeypatch.setenv("SCHEMAS", '["t_*"]')
    deployed.file("V1__a.sql", "create table a ()")
    event = {"command": "migrate", "run_id": "r", "options": {"create_schema": True}}
    line: Any = handler.handle({**event, "target": {"schema": "t_1", "name": "T"}}, Context())
    assert misfit(line, Line) is None
    member = line["member"]
    assert (member["name"], member["state"], member["version"]) == ("T", "current", "1")
    assert (member["applied"], line["outcome"], line["error"]) == (1, "applied", None)
    noise = "repeat('\"é', 100000)"
    deployed.file(
        "V2__b.sql", f"do $$ begin raise exception '%', {noise} using hint = {noise};end$$"
    )
    with pytest.raises(handler.RunFailed) as raised:
        handler.handle({**event, "target": {"schema": "t_1", "name": "T"}}, Context())
    told = json.dumps({"errorMessage": str(raised.value)})
    assert len(told) < 32_768
    line = json.loads(str(raised.value))
    assert misfit(line, Line) is None
    assert (line["member"]["state"], line["error"]["file"]) == ("failed", "sql/V2__b.sql")


def test_right_event_is_taken() -> None:
    event = {"command": "rollback", "run_id": "r", "options": {"steps": 2}}
    request = parse(event, f"{FUNCTION}:admin")
    assert (request.command.name, request.run_id) == ("rollback", "r")
    assert (request.options, request.files) == ({"steps": 2}, None)


@pytest.mark.parametrize("arn", [FUNCTION, f"{FUNCTION}:$LATEST", f"{FUNCTION}:7", "f:live"])
def test_function_called_without_an_alias_serves_nothing(arn: str) -> None:
    for name in ("plan", "migrate", "rollback"):
        with pytest.raises(ConfigurationError, match="without a known alias"):
            parse({"command": name, "run_id": "r", "options": {"steps": 1}}, arn)


@pytest.mark.parametrize("right", ["read", "live", "admin"])
def test_alias_serves_the_commands_of_its_right_only(right: str) -> None:
    given = {"rollback": {"steps": 1}, "baseline": {"version": "1"}, "adopt": {"tool": "knex"}}
    served = set()
    for name, command in COMMANDS.items():
        event = {"command": name, "run_id": "r", "options": given.get(name, {})}
        with contextlib.suppress(ConfigurationError):
            parse(event, f"{FUNCTION}:{right}")
            served.add(name)
            assert command.right == right
    assert served == {name for name, command in COMMANDS.items() if command.right == right}


@pytest.mark.parametrize("value", ["true", "1", "TRUE"])
def test_function_that_requires_a_digest_refuses_to_migrate_without_one(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUIRE_PLAN_DIGEST", value)
    with pytest.raises(handler.RunFailed) as raised:
        handler.handle({"command": "migrate", "run_id": "r"}, Context())
    document = json.loads(str(raised.value))
    assert (document["exit_code"], document["error"]["kind"]) == (7, "refused")


def test_plan_takes_the_files_of_the_event_and_runs_none(
    deployed: Project,
) -> None:
    files = {"V1__a.sql": "create table a ()", "more/V2__b.sql": "select 1 / 0"}
    event = {"command": "plan", "run_id": "r", "files": told(files)}
    document = conforming(handler.handle(event, Context("read")))
    assert [file["file"] for file in document["data"]["files"]] == ["V1__a.sql", "more/V2__b.sql"]
    assert deployed.query("select to_regclass('a'), to_regclass('schema_version')") == [
        (None, None)
    ]


def test_a_rehearsal_runs_the_event_s_files_and_what_the_server_says_stays_in_the_log(
    deployed: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = parse_dsn(os.environ["DATABASE_URL"])
    for variable, parameter in (("DATABASE", "dbname"), ("USER", "user"), ("PASSWORD", "password")):
        monkeypatch.setenv(f"PG{variable}", there[parameter])
    monkeypatch.delenv("DATABASE_URL")
    files = {
        "V1__a.sql": "create table a as select 'told' as secret; do $$ begin raise notice '%',"
        " (select secret from a); end $$",
        "V2__b.sql": "do $$ begin raise exception '%', (select secret from a); end $$",
    }
    copy = {"host": there["host"], "port": int(there["port"])}
    event = {"command": "rehearse", "run_id": "r", "files": told(files), "copy": copy}
    with pytest.raises(handler.RunFailed) as failed:
        handler.handle(event, Context("rehearse"))
    document = conforming(json.loads(str(failed.value)))
    assert [file["file"] for file in document["data"]["files"]] == ["V1__a.sql"]
    assert deployed.history() == [("1", "applied")]
    assert document["error"]["message"] == "it failed on the copy: raise exception"
    assert "told" not in json.dumps(document["data"]) + json.dumps(document["error"])
    assert capsys.readouterr().out.count("told") == 2


def test_failure_raises_with_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "PGHOST", "PGDATABASE", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(handler.RunFailed) as raised:
        handler.handle({"command": "migrate", "run_id": "r"}, Context())
    document = json.loads(str(raised.value))
    assert (document["outcome"], document["exit_code"], document["run_id"]) == ("failed", 2, "r")


@pytest.fixture
def function(deployed: Project) -> Callable[..., Document]:
    """Call the handler with a file of this SQL among its own, and return the whole document."""

    def call(sql: str, command: str = "migrate", **options: object) -> Document:
        deployed.file("V1__a.sql", sql)
        event = {"command": command, "run_id": "r", "options": options}
        try:
            return handler.handle(event, Context(ALIASES[command]))
        except handler.RunFailed as failed:
            return json.loads(str(failed))

    return call


@pytest.mark.parametrize(
    ("sql", "exit_code"),
    [
        ("do $$ begin raise exception '%', repeat('x', 10000000); end $$", 3),
        ("do $$ begin raise exception 'x' using detail = repeat('é', 10000000); end $$", 3),
        ("do $$ begin raise notice '%', repeat('x', 10000000); end $$", 0),
    ],
    ids=["message", "detail", "notice"],
)
def test_an_answer_fits_whatever_the_server_says(
    function: Callable[..., Document], sql: str, exit_code: int
) -> None:
    document = conforming(function(sql))
    assert document["exit_code"] == exit_code
    assert len(json.dumps(json.dumps(document))) < 6_000_000


def test_an_answer_fits_whatever_is_shown_of_files(function: Callable[..., Document]) -> None:
    quotes = '"' * 3_000_000  # of which each is four characters in the answer
    document = conforming(function(f"select '{quotes}'", dry_run=True))
    (shown,) = document["data"]
    assert shown["sql"].endswith(" more characters")
    assert len(json.dumps(json.dumps(document))) < 6_000_000


def test_nothing_that_a_file_says_passes_for_numbers_or_controls_a_terminal(
    function: Callable[..., Document], capsys: pytest.CaptureFixture[str]
) -> None:
    said = r"""E'x\n{"_aws": {}, "Failed": 0}\n  {"_aws": 1}\n\x1b[2J'"""
    function(f"do $$ begin raise notice '%', {said}; end $$")
    log = capsys.readouterr().out
    assert sum(line.lstrip().startswith("{") for line in log.splitlines()) == 1  # our own
    assert "\x1b" not in log


@pytest.mark.parametrize(
    "weaker",
    [
        {"DATABASE_URL": "postgresql://u@db.internal/d?sslmode=require"},
        {"DATABASE_URL": "postgresql://u@localhost/d?sslmode=disable"},
        {"PGSSLMODE": "verify-ca"},
        {"PGSSLMODE": ""},
        {"PGSERVICE": "prod", "PGSSLMODE": "prefer"},
    ],
)
def test_weaker_sslmode_is_refused_by_name(
    weaker: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"DATABASE_URL": "postgresql://u@localhost/d", **weaker}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(handler.RunFailed, match="weaker than verify-full"):
        handler.handle({"command": "status", "run_id": "r"}, Context("read"))


def test_server_of_another_authority_than_the_function_s_is_not_logged_in_to(
    deployed: Project,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    ensure_certificates(tmp_path)
    (tmp_path / "ca.pem").rename(tmp_path / "ca-bundle.pem")
    monkeypatch.delenv("PGSSLROOTCERT")
    with pytest.raises(handler.RunFailed, match="certificate verify failed"):
        handler.handle({"command": "status", "run_id": "r"}, Context("read"))


def test_metrics_say_what_an_alarm_needs() -> None:
    document = {
        "error": None, "applied": [{}, {}], "pending": [], "duration_ms": 70, "run_id": "r",
    }  # fmt: skip
    numbers = json.loads(handler.metrics(document, 1_700_000_000.5))
    (directive,) = numbers["_aws"]["CloudWatchMetrics"]
    assert numbers["_aws"]["Timestamp"] == 1_700_000_000_500
    assert {metric["Name"]: numbers[metric["Name"]] for metric in directive["Metrics"]} == {
        "Failed": 0,
        "Applied": 2,
        "Pending": 0,
        "Duration": 70,
    }
    assert all(name in numbers for (name,) in directive["Dimensions"])


def test_metrics_say_how_far_a_backfill_is() -> None:
    far = {"rows": 30, "rows_left": 70, "rows_per_second": 12.5}
    document = {
        "error": None, "applied": [], "pending": [{}, {"backfill": far}], "duration_ms": 70,
        "run_id": "r",
    }  # fmt: skip
    numbers = json.loads(handler.metrics(document, 1_700_000_000.5))
    (directive,) = numbers["_aws"]["CloudWatchMetrics"]
    units = {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}
    named = ("BackfilledRows", "BackfillRowsLeft", "BackfilledRowsPerSecond")
    assert [(numbers[name], units[name]) for name in named] == [
        (30, "Count"), (70, "Count"), (12.5, "Count/Second"),
    ]  # fmt: skip


def test_function_slows_backfills_as_its_variables_say(
    deployed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed.file(
        "V1__t.sql",
        "-- runner: batch=t.id\ndelete from t where id between"
        " current_setting('batch.first')::int and current_setting('batch.last')::int",
    )
    deployed.query("create table t (id int primary key)")
    monkeypatch.setenv("BATCH_PAUSE", "50%")
    monkeypatch.setenv("BATCH_ACTIVE", "4")
    event = {"command": "plan", "run_id": "r"}
    (file,) = handler.handle(event, Context("read"))["data"]["files"]
    assert file["throttle"] == (
        "pauses for 50% of a batch's time after each, waits while more than 4 sessions work"
    )
    monkeypatch.setenv("BATCH_ACTIVE", "few")
    with pytest.raises(handler.RunFailed, match="BATCH_ACTIVE=few: option batch_active takes"):
        handler.handle(event, Context("read"))
