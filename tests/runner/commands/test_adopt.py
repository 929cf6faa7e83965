"""Taking over another tool's history: shown first, checked against the files, then written."""

import hashlib

import pytest

from runner.commands.histories import flyway_crc32
from tests.runner.project import Project

_FLYWAY = """
    create table flyway_schema_history (
        installed_rank int primary key, version varchar(50), description varchar(200) not null,
        type varchar(20) not null, script varchar(1000) not null, checksum int,
        installed_by varchar(100) not null, installed_on timestamp not null default now(),
        execution_time int not null, success boolean not null);
    insert into flyway_schema_history values
        (1, '1', 'a', 'SQL', 'V1__a.sql', {first}, 'ann', '2024-01-02 03:04:05', 7, true),
        (2, '2', 'b', 'SQL', 'V2__b.sql', {second}, 'ann', '2024-01-02 03:04:05', 7, true),
        (3, '3', 'c', 'SQL', 'V3__c.sql', 1, 'ann', now(), 7, true),
        (4, '3', 'c', 'UNDO_SQL', 'U3__c.sql', 1, 'ann', now(), 7, true),
        (5, null, 'v', 'SQL', 'R__v.sql', {view}, 'ann', now(), 7, true);
"""


@pytest.fixture
def three(project: Project) -> Project:
    """Give a project of three versions and a repeatable."""
    project.file("V1__a.sql", "create table a ();\n")
    project.file("V2__b.sql", "create table b ();\r\n-- é\r\n")
    project.file("V3__c.sql", "create table c ();\n")
    project.file("R__v.sql", "create or replace view v as select 1 as one;\n")
    return project


def flyway(project: Project) -> None:
    texts = {
        "first": "create table a ();\n",
        "second": "create table b ();\n-- é",
        "view": "create or replace view v as select 1 as one;\n",
    }
    project.query(_FLYWAY.format(**{name: flyway_crc32(text) for name, text in texts.items()}))


def test_shows_first_and_writes_nothing(three: Project) -> None:
    flyway(three)
    document = three.run("adopt", "flyway")
    assert (document["outcome"], len(document["data"])) == ("planned", 3)
    assert three.query("select to_regclass('schema_version')") == [(None,)]


def test_flyways_history_is_taken_over_and_the_next_run_goes_on(three: Project) -> None:
    flyway(three)
    assert three.run("adopt", "flyway", "--yes")["outcome"] == "applied"
    assert three.query("select version, applied_by, applied_at::date::text from schema_version")[
        :2
    ] == [("1", "ann", "2024-01-02"), ("2", "ann", "2024-01-02")]
    assert [entry["version"] for entry in three.run("migrate")["applied"]] == ["3"]


def test_file_that_flyway_did_not_apply_is_refused(three: Project) -> None:
    flyway(three)
    three.file("V2__b.sql", "create table other ();\n")
    three.file("V1__a.sql", "")
    document = three.run("adopt", "flyway", "--yes")
    assert document["exit_code"] == 6
    assert [line.split(":")[0] for line in document["error"]["details"]] == [
        "V1__a.sql",
        "V2__b.sql",
    ]
    assert three.query("select to_regclass('schema_version')") == [(None,)]


def test_failed_migration_of_flyways_is_refused(three: Project) -> None:
    flyway(three)
    three.query("update flyway_schema_history set success = false where version = '2'")
    assert "V2__b.sql failed" in three.run("adopt", "flyway")["error"]["message"]


def test_golang_migrate_says_up_to_which_version(three: Project) -> None:
    three.query("create table schema_migrations (version bigint primary key, dirty boolean)")
    three.query("insert into schema_migrations values (2, false)")
    three.run("adopt", "golang-migrate", "--yes")
    assert three.history() == [("1", "applied"), ("2", "applied")]


def test_dirty_golang_migrate_is_refused(three: Project) -> None:
    three.query("create table schema_migrations (version bigint primary key, dirty boolean)")
    three.query("insert into schema_migrations values (2, true)")
    assert "dirty" in three.run("adopt", "golang-migrate")["error"]["message"]


def test_dbmate_lists_versions_and_a_missing_file_is_named(three: Project) -> None:
    three.query("create table schema_migrations (version varchar primary key)")
    three.query("insert into schema_migrations values ('0001'), ('0003'), ('0009')")
    document = three.run("adopt", "dbmate", "--yes")
    assert document["error"]["details"] == ["version 9 (0009) is applied, but has no file"]
    three.query("delete from schema_migrations where version = '0009'")
    three.run("adopt", "dbmate", "--yes")
    assert three.history() == [("1", "applied"), ("3", "applied")]


def test_pgmigrates_table_is_converted_and_kept(three: Project) -> None:
    three.query(
        "create type schema_version_type as enum ('auto', 'manual');"
        "create table schema_version (version bigint not null primary key, description text not"
        " null, type schema_version_type not null default 'auto', installed_by text not null,"
        " installed_on timestamp without time zone default now() not null);"
        "insert into schema_version values (1, 'a', 'auto', 'bob'), (2, 'b', 'manual', 'bob')"
    )
    refused = three.run("migrate")
    assert refused["exit_code"] == 6
    assert "runner adopt pgmigrate" in refused["error"]["fix"]
    assert three.run("adopt", "pgmigrate")["outcome"] == "planned"
    three.run("adopt", "pgmigrate", "--yes")
    assert three.history() == [("1", "applied"), ("2", "applied")]
    assert three.query("select count(*) from schema_version_pgmigrate") == [(2,)]
    assert three.run("migrate")["outcome"] == "applied"


def test_knex_with_the_files_numbers_is_matched_by_them(three: Project) -> None:
    three.query(
        "create table knex_migrations (id serial primary key, name varchar(255), batch integer,"
        " migration_time timestamptz); insert into knex_migrations (name, batch, migration_time)"
        " values ('001_a.js', 1, now()), ('002_b.js', 1, now())"
    )
    three.run("adopt", "knex", "--yes")
    assert three.history() == [("1", "applied"), ("2", "applied")]


def test_alembic_needs_the_newest_file_named(three: Project) -> None:
    three.query(
        "create table alembic_version (version_num varchar(32) primary key);"
        "insert into alembic_version values ('1975ea83b712')"
    )
    assert "--at V" in three.run("adopt", "alembic")["error"]["fix"]
    three.run("adopt", "alembic", "--at", "2", "--yes")
    assert three.history() == [("1", "applied"), ("2", "applied")]


def test_no_history_of_that_tool_is_said(three: Project) -> None:
    assert "no history of flyway" in three.run("adopt", "flyway")["error"]["message"]


def test_history_that_is_there_is_not_overwritten(three: Project) -> None:
    flyway(three)
    three.query("drop table if exists a, b")
    three.run("migrate", "--allow-other-history")
    assert three.run("adopt", "flyway", "--yes")["exit_code"] == 6


_SQLX_B = r"sha384(convert_to(E'create table b ();\r\n-- é\r\n', 'UTF8'))"
_HISTORIES = {
    "goose": """
        create table goose_db_version (id int generated always as identity, version_id bigint,
            is_applied boolean, tstamp timestamp default now());
        insert into goose_db_version (version_id, is_applied)
            values (0, true), (1, true), (3, true), (2, true), (3, false)""",
    "diesel": """
        create table __diesel_schema_migrations (
            version varchar(50) primary key, run_on timestamp not null default now());
        insert into __diesel_schema_migrations values ('00000000000001'), ('2')""",
    "sqlx": f"""
        create table _sqlx_migrations (version bigint primary key, description text not null,
            installed_on timestamptz not null default now(), success boolean not null,
            checksum bytea not null, execution_time bigint not null);
        insert into _sqlx_migrations values
            (1, 'a', now(), true, sha384(E'create table a ();\\n'), 1),
            (2, 'b', now(), true, {_SQLX_B}, 1)
    """,
    "sqitch": f"""
        create schema sqitch;
        create table sqitch.changes (change_id text primary key, script_hash text, change text,
            project text, committed_at timestamptz, committer_name text);
        insert into sqitch.changes values
            ('x', '{hashlib.sha1(b"create table a ();" + bytes([10])).hexdigest()}', 'a', 'shop',
             '2024-01-02 03:04:05Z', 'ann'),
            ('y', null, 'b', 'shop', '2024-01-02 03:04:06Z', 'ann')""",
    "liquibase": """
        create schema app;
        create table app.databasechangelog (id varchar(255) not null, author varchar(255),
            filename varchar(255), dateexecuted timestamp, orderexecuted int, exectype varchar(10),
            md5sum varchar(35));
        insert into app.databasechangelog values
            ('a', 'ann', 'one.sql', now(), 1, 'EXECUTED', '9:1'),
            ('B', 'ann', 'one.sql', now(), 2, 'EXECUTED', '9:2')""",
}


@pytest.mark.parametrize("tool", _HISTORIES)
def test_history_in_any_schema_is_taken_over_and_the_next_run_goes_on(
    three: Project, tool: str
) -> None:
    three.query(_HISTORIES[tool])
    refused = three.run("migrate")
    assert refused["exit_code"] == 6
    assert f"runner adopt {tool};" in refused["error"]["fix"]
    assert three.run("adopt", tool, "--yes")["outcome"] == "applied"
    assert three.history() == [("1", "applied"), ("2", "applied")]
    assert [entry["version"] for entry in three.run("migrate")["applied"]] == ["3", "R__v"]


@pytest.mark.parametrize("tool", ["sqlx", "sqitch"])
def test_file_that_was_edited_since_is_refused_and_one_with_a_directive_is_not(
    three: Project, tool: str
) -> None:
    three.query(_HISTORIES[tool])
    three.file("V1__a.sql", "-- runner: irreversible: there is no way back\ncreate table a ();\n")
    assert three.run("adopt", tool)["outcome"] == "planned"
    three.file("V1__a.sql", "create table b ();\n")
    assert three.run("adopt", tool)["error"]["details"] == [
        f"V1__a.sql: not the file that {tool} applied (its checksum differs)"
    ]


def test_names_that_several_files_have_need_the_newest_named(three: Project) -> None:
    three.query(_HISTORIES["liquibase"])
    three.file("V4__b.sql", "create table d ();\n")
    assert "--at V" in three.run("adopt", "liquibase")["error"]["fix"]
    assert len(three.run("adopt", "liquibase", "--at", "2")["data"]) == 2


def test_history_in_several_schemas_is_refused(three: Project) -> None:
    for schema in ("one", "two"):
        three.query(f"create schema {schema}; create table {schema}.goose_db_version ("
                    "id int, version_id bigint, is_applied boolean, tstamp timestamp)")  # fmt: skip
    assert "several schemas: one, two" in three.run("adopt", "goose")["error"]["message"]


def test_database_of_a_tool_that_cannot_be_adopted_is_named_with_what_to_do(
    three: Project,
) -> None:
    three.query("create table schema_migrations (version varchar primary key);"
                "create table ar_internal_metadata (key varchar, value varchar)")  # fmt: skip
    error = three.run("plan")["error"]
    assert error["message"].startswith("Rails manages this database (public.ar_internal_metadata)")
    assert error["fix"].startswith("say what is applied already: runner baseline V")


def test_who_wants_to_begins_beside_another_tools_history_and_is_asked_once(
    three: Project,
) -> None:
    three.query("create table schema_migrations (version varchar primary key)")
    assert three.run("migrate")["exit_code"] == 6
    assert three.run("migrate", "--allow-other-history", "--target", "1")["outcome"] == "applied"
    assert three.run("migrate")["outcome"] == "applied"
