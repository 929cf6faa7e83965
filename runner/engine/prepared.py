"""What surrounds each file of a shared message, parsed and planned once for all of them.

The server's work on a small file is mostly that on the SQL around it: two thirds of it were
spent on planning the same statements again for each. A function that a file calls might do away
with what was prepared; then the file's transaction fails, and it runs in messages of its own,
where nothing is.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import lru_cache

from psycopg2.extensions import connection as Connection

from runner.database.quoting import literal
from runner.history.table import Record
from runner.history.write import Writer

# By itself the server would plan anew for the first five values, to see whether that is better.
_ONCE = "set local plan_cache_mode = force_generic_plan; "

# What is different for each file.
_MARKED = ("version", "description", "file", "checksum", "run_id")
_TYPES = ", ".join(["text"] * len(_MARKED))
_NOTHING = ", ".join(["null"] * len(_MARKED))
_MARKS = Record("$1", "", "$2", "$3", "$4", "$5")


class Prepared:
    """What one message prepares: statements, by the SQL that they are made of."""

    def __init__(self, connection: Connection):
        self._connection = connection
        self._writer = Writer(connection, quote=self._quote)
        # Nobody else's, whatever a file or what it calls may prepare.
        self._prefix = f"runner_{secrets.token_hex(4)}"
        self._names: dict[str, str] = {}
        self._given = lru_cache(maxsize=1)(self._written)  # each file is recorded twice

    def opening(self) -> str:
        """Return the SQL that prepares all that was called; the message begins with it."""
        made = "".join(f"prepare {name}({_TYPES}) as {sql}; " for sql, name in self._names.items())
        return f"begin; {made}commit; "

    def call(self, sql: str, given: str = _NOTHING) -> str:
        """Return the SQL that runs a statement, given what is marked in it."""
        name = self._names.setdefault(sql, f"{self._prefix}_{len(self._names)}")
        return f"execute {name}({given})"

    def event(self, action: str, record: Record, duration: str, details: str) -> str:
        """Return the SQL that adds a line to the log; as a `Writer` does."""
        marks = _MARKS._replace(kind=record.kind)
        sql = self._writer.event(action, marks, duration, details)
        return _ONCE + self.call(sql, self._given(record))

    def done(self, action: str, record: Record, duration: str, rests: Sequence[str]) -> str:
        """Return the SQL that puts a migration into force or out of it; as a `Writer` does."""
        marks = _MARKS._replace(kind=record.kind)
        sql = self._writer.done(action, marks, duration, rests)
        return _ONCE + self.call(sql, self._given(record))

    def _written(self, record: Record) -> str:
        return ", ".join(literal(self._connection, getattr(record, name)) for name in _MARKED)

    def _quote(self, value: str | None) -> str:
        return str(value) if value in _MARKS else literal(self._connection, value)
