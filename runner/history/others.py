"""Which other tool keeps a history in this target: told from names, nothing in it is read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from runner.database.session import Session
from runner.errors import ValidationFailed
from runner.history.read import tables
from runner.history.table import TABLE


class Other(NamedTuple):
    """A tool's history: its table, and columns that tell it from another's of the same name.

    `adopted`: whether `runner adopt` knows it by this name.
    """

    tool: str
    table: str
    columns: frozenset[str]
    adopted: bool = True


def _other(tool: str, table: str, columns: str, *, adopted: bool = True) -> Other:
    return Other(tool, table, frozenset(columns.split()), adopted)


# Of two that fit one table, the first is meant.
OTHERS = (
    _other("flyway", "flyway_schema_history", "installed_rank script"),
    _other("golang-migrate", "schema_migrations", "version dirty"),
    _other("Rails", "ar_internal_metadata", "key value", adopted=False),
    _other("Ecto", "schema_migrations", "version inserted_at", adopted=False),
    _other("dbmate", "schema_migrations", "version"),
    _other("knex", "knex_migrations", "name migration_time"),
    _other("alembic", "alembic_version", "version_num"),
    _other("goose", "goose_db_version", "version_id is_applied"),
    _other("diesel", "__diesel_schema_migrations", "version run_on"),
    _other("sqlx", "_sqlx_migrations", "version checksum"),
    _other("sqitch", "changes", "change_id script_hash project"),
    _other("liquibase", "databasechangelog", "id exectype orderexecuted"),
    _other("Django", "django_migrations", "app name", adopted=False),
    _other("Prisma", "_prisma_migrations", "migration_name checksum", adopted=False),
    _other("node-pg-migrate", "pgmigrations", "name run_on", adopted=False),
    _other("EF Core", "__EFMigrationsHistory", "MigrationId ProductVersion", adopted=False),
)

_LOOK = """
    select n.nspname::text, c.relname::text,
           array(select a.attname::text from pg_catalog.pg_attribute a
                 where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relname = any(%s) and c.relkind in ('r', 'p', 'v', 'm', 'f')
      and n.nspname = coalesce(%s, n.nspname) and n.nspname !~ '^pg_'
    order by 1, 2
"""


def schemas(session: Session, table: str, columns: Iterable[str]) -> list[str]:
    """Return the target's schemas that have a relation of this name with these columns."""
    wanted = set(columns)
    return [schema for schema, _, there in _found(session, [table]) if wanted <= there]


def refuse(session: Session) -> None:
    """Refuse a target that another tool manages, as long as it has no history of ours.

    Raises:
        ValidationFailed: naming tool and table, and what to do.
    """
    found = _found(session, sorted({other.table for other in OTHERS}))
    if not found or TABLE in tables(session):
        return
    for other in OTHERS:
        for schema, table, columns in found:
            if table == other.table and other.columns <= columns:
                raise _managed(other, f"{schema}.{table}")


def _found(session: Session, tables: list[str]) -> list[tuple[str, str, frozenset[str]]]:
    with session.connection.cursor() as cursor:
        cursor.execute(_LOOK, (tables, session.target.schema))
        return [(schema, table, frozenset(columns)) for schema, table, columns in cursor]


def _managed(other: Other, name: str) -> ValidationFailed:
    how = f"take its history over: runner adopt {other.tool}"
    if not other.adopted:
        how = "say what is applied already: runner baseline V"
    return ValidationFailed(
        f"{other.tool} manages this database ({name}), and there is no history of ours",
        fix=f"{how}; or, to work beside it: --allow-other-history",
    )
