"""What surrounds each file of a shared message, parsed and planned once for all of them.

The server's work on a small file is mostly that on the SQL around it: two thirds of it were
spent on planning the same statements again for each. A function that a file calls might do away
with what was prepared; then the file's transaction fails, and it runs in messages of its own,
where nothing is.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache

from runner.database.quoting import literal
from runner.database.session import Session
from runner.history.table import Record, names
from runner.history.write import Writer

# By itself the server would plan anew for the first five values, to see whether that is better.
# A statement without values is planned once anyway.
_ONCE = "set local plan_cache_mode = force_generic_plan; "

# What is different for each file.
_MARKED = ("version", "description", "file", "checksum", "run_id")
_TYPES = f"({', '.join(['text'] * len(_MARKED))})"
_MARKS = Record("$1", "", "$2", "$3", "$4", "$5")


class Prepared:
    """What one message prepares: statements, by the SQL that they are made of."""

    def __init__(self, session: Session):
        self._connection = session.connection
        self._writer = Writer(session.connection, names(session), quote=self._quote)
        # Nobody else's, whatever a file or what it calls may prepare.
        self._prefix = f"runner_{secrets.token_hex(4)}"
        self._names: dict[Hashable, str] = {}
        self._opening = "begin; "
        self._given = lru_cache(maxsize=1)(self._written)  # each file is recorded twice

    def opening(self) -> str:
        """Return the SQL that prepares all that was called; the message begins with it."""
        return f"{self._opening}commit; "

    def call(self, sql: str) -> str:
        """Return the SQL that runs a statement that is the same for all files."""
        return f"execute {self._named(sql, lambda: f' as {sql}')}"

    def event(self, action: str, record: Record, duration: str, details: str) -> str:
        """Return the SQL that adds a line to the log; as a `Writer` does."""
        marks = _MARKS._replace(kind=record.kind)
        return self._with(
            record,
            ("event", action, record.kind, duration, details),
            lambda: self._writer.event(action, marks, duration, details),
        )

    def done(self, action: str, record: Record, duration: str, rests: Sequence[str]) -> str:
        """Return the SQL that puts a migration into force or out of it; as a `Writer` does."""
        marks = _MARKS._replace(kind=record.kind)
        return self._with(
            record,
            ("done", action, record.kind, duration, *rests),
            lambda: self._writer.done(action, marks, duration, rests),
        )

    def _with(self, record: Record, key: Hashable, sql: Callable[[], str]) -> str:
        """Return the SQL that runs a statement with what is marked in it."""
        name = self._named(key, lambda: f"{_TYPES} as {sql()}")
        return f"{_ONCE}execute {name}({self._given(record)})"

    def _named(self, key: Hashable, made: Callable[[], str]) -> str:
        """Return the name of a statement, which is made where it has none."""
        if key not in self._names:
            name = self._names[key] = f"{self._prefix}_{len(self._names)}"
            self._opening += f"prepare {name}{made()}; "
        return self._names[key]

    def _written(self, record: Record) -> str:
        return ", ".join(literal(self._connection, getattr(record, name)) for name in _MARKED)

    def _quote(self, value: str | None) -> str:
        return str(value) if value in _MARKS else literal(self._connection, value)
