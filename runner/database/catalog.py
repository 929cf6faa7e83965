"""The schema in canonical form: what it is, whether it changed, and what changed.

Every object becomes one entry, from a name a person knows to a definition, read from pg_catalog
with PostgreSQL's own deparsers. Columns are entries of their own, so their order does not
matter; a constraint or index whose name PostgreSQL made up is known by its definition.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from psycopg2.extensions import connection as Connection

from runner.database.catalog_sql import RARE, catalog
from runner.database.connection import WRITTEN
from runner.database.quoting import literal

_WIDTH = 160  # characters of a definition in a diff
_PATIENCE = 60.0  # seconds that reading may take
_LOCK = 2_000  # milliseconds of them for a lock


class Catalog(NamedTuple):
    """A schema at one moment: its objects, and the server's major version that spelt them."""

    major: int
    objects: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """A hash of everything; the major version is part of it, since majors spell differently."""
        digest = hashlib.sha256()
        for name in sorted(self.objects):
            digest.update(f"{name}\0{self.objects[name]}\0".encode())
        return f"pg{self.major}:{digest.hexdigest()}"

    @property
    def whole(self) -> bool:
        """Whether it is a database's, and not of one schema only."""
        return "database " in self.objects


class Difference(NamedTuple):
    """One object that is not the same in two catalogs; None where it is missing."""

    name: str
    before: str | None
    after: str | None


def read(
    connection: Connection,
    *,
    ignored: str,
    schema: str | None = None,
    patience: float = _PATIENCE,
) -> Catalog:
    """Read what is in the connection's database, or in one schema of it.

    The connection is in autocommit. What belongs to extensions is left out.

    Parameters:
        ignored: a regular expression for names of relations to leave out: our own, which are in
            that schema, or else in public.
        patience: seconds that it may take, and of them a few that it waits for a lock: views and
            sizes are behind one where somebody rewrites a table.

    Raises:
        psycopg2.Error: the catalog could not be read.
    """
    limit, version = max(1, round(patience * 1000)), connection.info.server_version
    # One message is one transaction by itself.
    opening = (
        "set transaction isolation level repeatable read, read only; set local search_path = '';"
        f" set local lock_timeout = {min(limit, _LOCK)}; set local statement_timeout = {limit};"
        f" set local jit = off; {WRITTEN}"
    )
    with connection.cursor() as cursor:
        cursor.execute(f"{opening}{RARE}")
        ((rare,),) = cursor.fetchall()
        home = literal(connection, schema or "public")
        query = catalog(
            literal(connection, ignored), version, rare=rare, home=home, only=schema is not None
        )
        cursor.execute(opening + query)
        found: dict[str, list[str]] = {}
        for kind, name, definition, grants in cursor:
            text = f"{definition} grants {' '.join(grants)}" if grants else definition
            found.setdefault(f"{kind} {name}", []).append(text)
    # Two overlapping objects, such as two equal indexes with made-up names, both count.
    objects = {
        name + " (again)" * number: text
        for name, texts in found.items()
        for number, text in enumerate(sorted(texts))
    }
    return Catalog(version // 10_000, objects)


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[Difference]:
    """Return what differs, by name."""
    names = sorted({*before, *after})
    return [
        Difference(name, before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    ]


def describe(found: Iterable[Difference]) -> list[str]:
    """Return the differences as lines for a person: what was added, removed, changed and how."""
    lines = []
    for name, before, after in found:
        if before is None:
            lines.append(f"+ {name}: {_short(after)}")
        elif after is None:
            lines.append(f"- {name}: {_short(before)}")
        else:
            lines += [f"~ {name}", f"    was: {_short(before)}", f"    is:  {_short(after)}"]
    return lines


def _short(text: str | None) -> str:
    flat = " ".join((text or "").split())
    return flat if len(flat) <= _WIDTH else f"{flat[:_WIDTH]} …"
