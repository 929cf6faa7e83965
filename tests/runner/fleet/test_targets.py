"""A list of targets is checked as a whole before anything is done, and every problem has a line."""

import json
from pathlib import Path

import pytest

from runner.database.connection import target
from runner.errors import ConfigurationError
from runner.fleet.targets import Item, of_file, of_query
from tests.runner.project import Project


def listed(folder: Path, text: str) -> list[Item]:
    path = folder / "targets"
    path.write_text(text)
    return of_file(path)


ITEMS = [{"name": "a", "schema": 'x"%', "dbname": "d"}, {"schema": "b"}, {"service": "shop"}]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ITEMS),
        json.dumps(ITEMS, indent=2),
        "\n".join(map(json.dumps, ITEMS)),
        "\ufeff" + "\r\n".join(map(json.dumps, ITEMS)) + "\r\n",
    ],
    ids=["array", "indented", "lines", "windows"],
)
def test_array_and_lines_are_read_alike(tmp_path: Path, text: str) -> None:
    assert listed(tmp_path, text) == [
        Item("a", 'x"%', {"dbname": "d"}),
        Item("b", "b", {}),
        Item("shop", None, {"service": "shop"}),
    ]  # fmt: skip


REFUSED = {
    "": "lists no targets",
    "[]": "lists no targets",
    '{"schema": "a"}\n\n{"schema": "a"}': "line 3: a is on line 1 already",
    '[{"schema": "a"},\n {"name": "b", "schema": "a"}]': "b is the same target as a on line 1",
    '{"schema": "a"}\n{"schema": "b", "color": 1}': "line 2: unknown: 'color'",
    '{"schema": "a"}\n{"schema":': "from line 2 on",
    '[{"schema": "a"},\n{"schema": "b"}': "no JSON",
    '[{"schema": "a"} {"schema": "b"}]': "no JSON",
    '"a"': "line 1: not an object",
    "{}": "line 1: it says neither a schema nor a database",
    '{"name": "a"}': "line 1: it says neither a schema nor a database",
    '{"host": "h"}': "line 1: it needs a name",
    '{"schema": "pg_toast"}': "line 1: pg_toast is the server's own",
    '{"schema": "a\\u001b[2J"}': "line 1: schema is no printable text",
    '{"schema": null}': "line 1: schema is no printable text",
    '{"schema": "a", "password": "geheim"}': "line 1: password has no place",
    '{"url": "postgresql://u:geheim@h/d", "name": "a"}': "line 1: password has no place",
    '{"url": "host=h password=geheim", "name": "a"}': "line 1: password has no place",
    '{"url": "postgresql://u:geheim@h/d?bogus=1", "name": "a"}': "line 1: its url cannot be read",
}


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_bad_list_is_refused_with_the_line_and_without_a_password(
    tmp_path: Path, text: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        listed(tmp_path, text)
    said = " ".join([raised.value.message, *raised.value.details])
    assert REFUSED[text] in said
    assert "geheim" not in said


FUNCTION = "arn:aws:lambda:eu-central-1:111122223333:function:shop"
OF_MACHINE_REFUSED = {
    '{"schema": "a", "host": "h"}': "unknown: 'host'",
    '{"name": "a"}': "neither a schema nor a function",
    f'{{"name": "a", "function": "{FUNCTION}:admin"}}': "no ARN of a function, without an alias",
    '{"name": "a", "function": "shop"}': "no ARN of a function",
    '{"schema": "a", "role": "arn:aws:iam::111122223333:role/shop"}': "no function to call by it",
    f'{{"name": "a", "function": "{FUNCTION}", "role": "shop"}}': "no ARN of a role",
}


@pytest.mark.parametrize("text", OF_MACHINE_REFUSED, ids=range(len(OF_MACHINE_REFUSED)))
def test_target_of_a_state_machine_names_functions_and_no_login(tmp_path: Path, text: str) -> None:
    path = tmp_path / "targets"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        of_file(path, machine=True)
    assert OF_MACHINE_REFUSED[text] in raised.value.details[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--state-machine", "shop"), "no ARN of a state machine"),
        (("--state-machine", "shop", "--at-once", "2"), "has fleet_at_once of its inventory"),
    ],
    ids=["no arn", "at once"],
)
def test_what_a_state_machine_does_not_take_is_refused_before_aws_is_called(
    project: Project, options: tuple[str, ...], said: str
) -> None:
    path = project.folder.parent / "targets"
    path.write_text('{"schema": "a"}')
    refused = project.run("fleet", "status", "--targets", str(path), *options)
    assert (refused["exit_code"], said in refused["error"]["message"]) == (2, True)


def test_query_names_targets_and_neither_writes_nor_sends_a_login_elsewhere(
    project: Project,
) -> None:
    common = target(project.url)

    def asked(sql: str) -> list[Item]:
        return of_query(common, sql, run_id="r", wait=0)

    project.query(
        "create table tenants (name text, schema text); insert into tenants values ('a', 's')"
    )
    assert asked("select * from tenants") == [Item("a", "s", {})]
    for sql, said in {
        "select 'a' as name, 'evil.example' as host": "row 1: unknown: 'host'",
        "select * from nothing": "fails",
        "select name from tenants": "row 1: it says neither a schema nor a database",
        "delete from tenants returning name": "read-only",
        "select name from tenants where false": "lists no targets",
        "set work_mem = 64": "lists no targets",
    }.items():
        with pytest.raises(ConfigurationError) as raised:
            asked(sql)
        assert said in " ".join([raised.value.message, *raised.value.details])
