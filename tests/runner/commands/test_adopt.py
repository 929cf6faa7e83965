"""Taking over another tool's history: shown first, checked against the files, then written."""

import pytest

from runner.commands.adopt import flyway_crc32
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
    three.run("migrate")
    assert three.run("adopt", "flyway", "--yes")["exit_code"] == 6
