"""Another tool's files under our names: as they are, both ways, or refused with each place."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.runner.project import Project


class Case(NamedTuple):
    """What a tool's folder holds, and what is to be written of it."""

    folder: dict[str, str]
    written: dict[str, str]


_CONCURRENTLY = "create index concurrently users_name on users (name);\n"
TOOLS = {
    "golang-migrate": Case(
        {
            "000001_create_users.up.sql": "BEGIN;\ncreate table users (name text);\nCOMMIT;\n",
            "000001_create_users.down.sql": "drop table users;\n",
            "000002_Fill-users.up.sql": "\ufeffinsert into users values ('ann')",
            "000002_Fill-users.down.sql": "-- nothing to do\n",
            "README.md": "",
        },
        {
            "V000001__create_users.sql": "BEGIN;\ncreate table users (name text);\nCOMMIT;\n",
            "U000001__create_users.sql": "drop table users;\n",
            "V000002__fill_users.sql": "-- runner: irreversible: golang-migrate had no way back for"
            " it\ninsert into users values ('ann')",
        },
    ),
    "dbmate": Case(
        {
            "20240102030405_create_users.sql": "-- people\n-- migrate:up\n"
            "create table users (name text);\n\n-- migrate:down\ndrop table users;\n",
            "20240203040506_index.sql": f"-- migrate:up transaction:false\n{_CONCURRENTLY}\n"
            "--migrate:down\ndrop index users_name;\n",
        },
        {
            "V20240102030405__create_users.sql": "-- people\ncreate table users (name text);\n\n",
            "U20240102030405__create_users.sql": "drop table users;\n",
            "V20240203040506__index.sql": f"-- runner: no-transaction\n{_CONCURRENTLY}\n",
            "U20240203040506__index.sql": "drop index users_name;\n",
        },
    ),
    "goose": Case(
        {
            "00001_create_users.sql": "-- +goose Up\n-- +goose StatementBegin\n"
            "create function one() returns int language sql as $$ select 1; $$\n"
            "-- +goose StatementEnd\ncreate table users (name text);\r\n\n"
            "-- +goose Down\ndrop table users;\ndrop function one;\n",
            "00002_index.sql": f"-- +goose NO TRANSACTION\n-- +goose Up\n{_CONCURRENTLY}",
        },
        {
            "V00001__create_users.sql": "create function one() returns int language sql as"
            " $$ select 1; $$\n;\ncreate table users (name text);\r\n\n",
            "U00001__create_users.sql": "drop table users;\ndrop function one;\n",
            "V00002__index.sql": "-- runner: no-transaction\n-- runner: irreversible: goose had no"
            f" way back for it\n{_CONCURRENTLY}",
        },
    ),
    "diesel": Case(
        {
            "00000000000000_diesel_initial_setup/up.sql": "create table users (name text);\n",
            "00000000000000_diesel_initial_setup/down.sql": "drop table users;\n",
            "2024-01-02-030405_index/up.sql": _CONCURRENTLY,
            "2024-01-02-030405_index/down.sql": "drop index concurrently users_name;\n",
            "2024-01-02-030405_index/metadata.toml": "run_in_transaction = false\n",
            ".keep": "",
        },
        {
            "V00000000000000__diesel_initial_setup.sql": "create table users (name text);\n",
            "U00000000000000__diesel_initial_setup.sql": "drop table users;\n",
            "V20240102030405__index.sql": f"-- runner: no-transaction\n{_CONCURRENTLY}",
            "U20240102030405__index.sql": "-- runner: no-transaction\n"
            "drop index concurrently users_name;\n",
        },
    ),
    "sqlx": Case(
        {
            "20240102030405_create_users.up.sql": "create table users (name text);\n",
            "20240102030405_create_users.down.sql": "drop table users;\n",
            "20240102030406_index.sql": f"-- no-transaction\n{_CONCURRENTLY}",
        },
        {
            "V20240102030405__create_users.sql": "create table users (name text);\n",
            "U20240102030405__create_users.sql": "drop table users;\n",
            "V20240102030406__index.sql": "-- runner: no-transaction\n-- runner: irreversible: sqlx"
            f" had no way back for it\n-- no-transaction\n{_CONCURRENTLY}",
        },
    ),
    "flyway": Case(
        {
            "V1__Create_users.sql": "create table users (name text);\n",
            "U1__Create_users.sql": "drop table users;\n",
            "later/V1_1__index.sql": "select 1;\n" + _CONCURRENTLY,
            "later/V1_1__index.sql.conf": "# alone\nexecuteInTransaction = false\n",
            "R__names.sql": "create or replace view names as select 'ann' as name;\n",
        },
        {
            "V1__Create_users.sql": "create table users (name text);\n",
            "U1__Create_users.sql": "drop table users;\n",
            "later/V1_1__index.sql": "-- runner: no-transaction\n-- runner: irreversible: flyway"
            f" had no way back for it\nselect 1;\n{_CONCURRENTLY}",
            "R__names.sql": "create or replace view names as select 'ann' as name;\n",
        },
    ),
    "sqitch": Case(
        {
            "sqitch.plan": "%syntax-version=1.0.0\n%project=shop\n\n"
            "users 2024-01-02T03:04:05Z Ann <ann@example.org> # who they are\n"
            "names [users] 2024-01-02T03:04:06Z Ann <ann@example.org> # a view\n"
            "@v1.0 2024-01-02T03:04:07Z Ann <ann@example.org> # first\n\n"
            "names [names@v1.0] 2024-01-02T03:04:08Z Ann <ann@example.org> # in capitals\n",
            "deploy/users.sql": "-- Deploy shop:users to pg\n\nBEGIN;\n\n"
            "create table users (name text);\n\nCOMMIT;\n",
            "revert/users.sql": "BEGIN;\ndrop table users;\nCOMMIT;\n",
            "verify/users.sql": "select name from users where false;\n",
            "deploy/names@v1.0.sql": "create view names as select name from users;\n",
            "revert/names@v1.0.sql": "drop view names;\n",
            "deploy/names.sql": "create or replace view names as select upper(name) as name"
            " from users;\n",
            "revert/names.sql": "create or replace view names as select name from users;\n",
        },
        {
            "V001__users.sql": "-- Deploy shop:users to pg\n\nBEGIN;\n\n"
            "create table users (name text);\n\nCOMMIT;\n",
            "U001__users.sql": "BEGIN;\ndrop table users;\nCOMMIT;\n",
            "V002__names.sql": "create view names as select name from users;\n",
            "U002__names.sql": "drop view names;\n",
            "V003__names.sql": "create or replace view names as select upper(name) as name"
            " from users;\n",
            "U003__names.sql": "create or replace view names as select name from users;\n",
        },
    ),
    "liquibase": Case(
        {
            "001-users.sql": "--liquibase formatted sql\n\n"
            '--changeset ann:create-users splitStatements:false dbms:"postgresql,h2"\n'
            "--comment: who they are\ncreate table users (name text);\n"
            "--rollback drop table\n--rollback users;\n\n"
            "-- changeset ann:2 runInTransaction:false\n"
            + _CONCURRENTLY
            + "/* liquibase rollback\n"
            "drop index users_name;\n*/\n",
            "002-names.sql": "-- liquibase formatted sql\n--changeset bob:names runOnChange:true\n"
            "create or replace view names as select 'ann' as name;\n"
            "--changeset bob:fill\ninsert into users values ('ann');\n--rollback empty\n",
        },
        {
            "V001__create_users.sql": "--comment: who they are\n"
            "create table users (name text);\n\n",
            "U001__create_users.sql": "drop table\nusers;\n",
            "V002__2.sql": f"-- runner: no-transaction\n{_CONCURRENTLY}",
            "U002__2.sql": "-- runner: no-transaction\ndrop index users_name;\n\n",
            "R__names.sql": "create or replace view names as select 'ann' as name;\n",
            "V003__fill.sql": "insert into users values ('ann');\n",
            "U003__fill.sql": "select 1;\n",
        },
    ),
}


def filled(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return folder


def written(project: Project) -> dict[str, str]:
    files = project.folder.rglob("*.sql")
    return {
        path.relative_to(project.folder).as_posix(): path.read_bytes().decode() for path in files
    }


@pytest.mark.parametrize("tool", TOOLS)
def test_files_of_a_tool_are_written_under_our_names_and_run(
    project: Project, tmp_path: Path, tool: str
) -> None:
    folder = filled(tmp_path / "theirs", TOOLS[tool].folder)
    assert project.run("import-files", tool, str(folder))["outcome"] == "planned"
    assert written(project) == {}
    document = project.run("import-files", tool, str(folder), "--yes")
    assert (document["outcome"], len(document["data"])) == ("applied", len(TOOLS[tool].written))
    assert written(project) == TOOLS[tool].written
    assert project.run("import-files", tool, str(folder), "--yes")["outcome"] == "noop"
    assert project.run("migrate")["outcome"] == "applied"


def test_data_says_where_each_file_comes_from_and_warnings_what_is_left(
    project: Project, tmp_path: Path
) -> None:
    folder = filled(tmp_path / "theirs", TOOLS["sqitch"].folder)
    document = project.run("import-files", "sqitch", str(folder))
    assert document["data"][3] == "U002__names.sql  revert/names@v1.0.sql:1"
    assert document["warnings"] == [
        "verify/ is left out: runner verify proves what a way back restores"
    ]


_CONTROL = (
    "BEGIN would control the runner's own transaction: remove it: the runner begins and commits for"
    " the file"
)
_OPEN = "this comment is never closed: close it with */"
_SETTING = "only run_in_transaction = true or false can be taken over"
REFUSED = {
    "golang-migrate": (
        {
            "1_a.up.sql": "\n\\i b.sql\n", "1_b.up.sql": "select 1;", "2_c.down.sql": "select 1;",
            "seed.sql": "", "3_d.up.sql": "-- é\n",
        },
        [
            "seed.sql:1: its name is not N_title.up.sql or N_title.down.sql",
            "1_b.up.sql:1: 1_a.up.sql has the same version or name",
            "2_c.down.sql:1: undoes a version that is not there",
        ],
    ),
    "sqlx": (
        {"1_a.sql": "select 1;\n\n  begin; select 2;", "2_b.sql": "--\n/*"},
        [
            f"1_a.sql:3: {_CONTROL}",
            f"2_b.sql:2: {_OPEN}",
        ],
    ),
    "dbmate": (
        {
            "1_a.sql": "select 1;\n-- migrate:up\n", "2_b.sql": "-- migrate:down\nselect 1;\n",
            "3_c.sql": "-- migrate:up quick:true\nselect 1;\n-- migrate:up\n",
        },
        [
            "1_a.sql:1: SQL above '-- migrate:up'",
            "2_b.sql:1: migrate:down does not belong here",
            "2_b.sql:1: nothing says where its way up begins",
            "3_c.sql:1: the option quick:true is not known",
            "3_c.sql:3: migrate:up does not belong here",
        ],
    ),
    "goose": (
        {
            "00001_a.go": "", "00002_b.sql": "-- +goose Up\n-- +goose ENVSUB ON\nselect 1;\n",
            "00003_c.sql": "-- +goose Up\n-- +goose StatementBegin\nselect 1;\n",
        },
        [
            "00001_a.go:1: a migration in Go: write its SQL into a file in its place",
            "00002_b.sql:2: '+goose ENVSUB ON' cannot be taken over here",
            "00003_c.sql:2: no '-- +goose StatementEnd' ends this",
        ],
    ),
    "diesel": (
        {
            "a.sql": "", "notes/a.txt": "", "2024-01-02_b/up.sql": "select 1;",
            "2024-01-02_b/metadata.toml": "run_in_transaction = false\nother = 1\n",
        },
        [
            "a.sql:1: diesel's files are in folders: N_title/up.sql",
            f"2024-01-02_b/metadata.toml:1: {_SETTING}",
            "notes:1: no folder N_title with an up.sql",
        ],
    ),
    "flyway": (
        {
            "V1__a.sql": "select 1;\nselect '${place}';\n", "afterMigrate.sql": "", "B2__b.sql": "",
            "V3__c.sql": "select 1;", "V3__c.sql.conf": "encoding=latin1\n",
        },
        [
            "B2__b.sql:1: no V, U or R file: callbacks and baselines are not taken over",
            "V1__a.sql:2: a placeholder: write the value in its place",
            "V3__c.sql.conf:1: only executeInTransaction can be taken over",
            "afterMigrate.sql:1: no V, U or R file: callbacks and baselines are not taken over",
        ],
    ),
    "sqitch": (
        {"sqitch.plan": "%project=a\n-old\nusers 2024-01-02T03:04:05Z A <a@b>\n"},
        [
            "sqitch.plan:2: neither a change nor a tag",
            "sqitch.plan:3: deploy/users.sql is not there",
        ],
    ),
    "liquibase": (
        {
            "a.yaml": "", "b.sql": "select 1;\n",
            "c.sql": "--liquibase formatted sql\n--changeset a:1 context:test\n"
            "--preconditions onFail:HALT\nselect '${a}';\n--rollback changeSetId:1\n",
        },
        [
            "a.yaml:1: only formatted SQL is read: name a folder that has nothing else",
            "b.sql:1: its first line is not '--liquibase formatted sql'",
            "c.sql:2: context:test cannot be taken over",
            "c.sql:3: '--preconditions onFail:HALT' cannot be taken over",
            "c.sql:4: a parameter: write the value in its place",
            "c.sql:5: a way back that is another changeset",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("tool", REFUSED)
def test_everything_that_cannot_be_taken_over_is_named_and_nothing_is_written(
    tmp_path: Path, tool: str
) -> None:
    files, problems = REFUSED[tool]
    project = Project(tmp_path / "sql", "")
    folder = filled(tmp_path / "theirs", files)
    document = project.run("import-files", tool, str(folder), "--yes")
    assert document["exit_code"] == 2
    assert document["error"]["details"] == [f"{folder}/{problem}" for problem in problems]
    assert written(project) == {}


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    project = Project(tmp_path / "sql", "")
    project.file("V1__a.sql", "select 2;\n")
    project.file("V02__c.sql", "select 3;\n")
    files = {"1_a.sql": "select 1;\n", "2_b.sql": "select 2;\n", "3_latin.sql": "select 3;\n"}
    folder = filled(tmp_path / "theirs", files)
    error = project.run("import-files", "sqlx", str(folder), "--yes")["error"]
    assert error["message"] == f"2 files of {project.folder} would be in the way"
    assert "name another folder with --sql-dir" in error["fix"]
    assert error["details"] == [
        f"{project.folder}/V1__a.sql: is there already, and is another file",
        f"{project.folder}/V02__c.sql: has the version or name of a new one",
    ]
    assert sorted(written(project)) == ["V02__c.sql", "V1__a.sql"]


@pytest.mark.parametrize(
    ("tool", "name", "text", "becomes"),
    [
        ("goose", "1_a.sql", "-- +goose Up\n\n-- +goose Down\n", "\nselect 1;\n"),
        ("goose", "1_a.sql", "-- +goose Up\n-- later", "-- later\nselect 1;\n"),
        ("golang-migrate", "1_a.up.sql", "", "select 1;\n"),
    ],
)
def test_a_version_without_a_statement_is_taken_over_as_one_that_does_nothing(
    tmp_path: Path, tool: str, name: str, text: str, becomes: str
) -> None:
    project = Project(tmp_path / "sql", "")
    folder = filled(tmp_path / "theirs", {name: text})
    document = project.run("import-files", tool, str(folder), "--yes")
    assert document["warnings"] == [f"{name} holds no statement: 'select 1;' stands for it"]
    (written_,) = written(project).values()
    assert written_ == f"-- runner: irreversible: {tool} had no way back for it\n{becomes}"


def test_file_that_is_not_utf_8_is_named_with_its_line(tmp_path: Path) -> None:
    project = Project(tmp_path / "sql", "")
    folder = filled(tmp_path / "theirs", {})
    folder.mkdir()
    (folder / "1_a.sql").write_bytes(b"select 1;\nselect '\xe9';\n")
    details = project.run("import-files", "sqlx", str(folder))["error"]["details"]
    assert details[0] == f"{folder}/1_a.sql:2: not UTF-8: save it so"
