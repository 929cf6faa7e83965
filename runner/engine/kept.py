"""What statements leave in the session that runs them, so that a later session goes on the same.

Their text does not tell: a function sets and makes what it likes. So the session is asked, before
the first statement of a file and after each. What is different then is kept with the statement in
the journal: settings, which another session can be given, and what is temporary, which is gone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from runner.database.quoting import literal
from runner.database.session import Session
from runner.history.table import Left, Step
from runner.syntax.lexer import unquoted
from runner.syntax.remains import COMPUTED
from runner.syntax.scanner import Statement

# What the runner sets for each statement, and what a transaction has for itself.
_OURS = {
    "lock_timeout", "statement_timeout",
    "transaction_deferrable", "transaction_isolation", "transaction_read_only",
}  # fmt: skip
# They decide what may be set at all, so they come last; nothing lists them.
_WHO = ("session_authorization", "role")

# Settings that nobody declared are listed nowhere either: they are known from where they are set.
_NAMED = r"""set(?:_config\s*\(\s*e?'|\s+(?:session\s+)?)([a-z_][\w$]*(?:\.[a-z_][\w$]*)+)"""
_IN_FUNCTIONS = f"""
    select pg_catalog.array_agg(distinct m[1]) from pg_catalog.pg_proc p
    cross join pg_catalog.regexp_matches({{body}}, $pattern${_NAMED}$pattern$, 'gi') m
    where p.pronamespace <> 'pg_catalog'::regnamespace
"""
_BODY = "p.prosrc"
_BODY_FROM_14 = "coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc)"

# Nor where from there: a function may compute the name. These are the names by which a statement
# would run such code: its own, those of functions that name it, and of tables and views that it is
# a trigger, default or part of.
_COMPUTING = rf"""
    with recursive named (name) as (
        select p.proname from pg_catalog.pg_proc p
        where p.pronamespace <> 'pg_catalog'::regnamespace
          and {{body}} ~* $pattern${COMPUTED}$pattern$
        union
        select more.name from named n cross join lateral (
            select p.proname from pg_catalog.pg_proc p
            where p.pronamespace <> 'pg_catalog'::regnamespace and {{body}} ~* pg_catalog.concat(
                '\m', pg_catalog.regexp_replace(n.name, '(\W)', '\\\1', 'g'), '\M')
            union all
            select c.relname from pg_catalog.pg_proc p
            join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_proc'::regclass
                and d.refobjid = p.oid
            join pg_catalog.pg_depend e on e.classid = d.classid and e.objid = d.objid
                and e.refclassid = 'pg_catalog.pg_class'::regclass
            join pg_catalog.pg_class c on c.oid = e.refobjid
            where p.proname = n.name
        ) more (name)
    )
    select pg_catalog.array_agg(pg_catalog.lower(name)) from named
"""

# The path may be anybody's here: every operator says its schema.
_LOOK = """
    select
        (select pg_catalog.jsonb_object_agg(name, setting) from pg_catalog.pg_settings
         where context operator(pg_catalog.=) any (array['user', 'superuser'])),
        (select pg_catalog.jsonb_object_agg(name, pg_catalog.current_setting(name, true))
         from pg_catalog.unnest(%s::pg_catalog.text[]) name),
        (select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(setdatabase, setrole, each))
         from pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) each),
        (select pg_catalog.jsonb_agg(
             (pg_catalog.pg_identify_object(classid, objid, objsubid)).identity)
         from pg_catalog.pg_depend
         where refclassid operator(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass
           and refobjid operator(pg_catalog.=) pg_catalog.pg_my_temp_schema())
"""


class _Look(NamedTuple):
    """A session at one moment; `defaults` is what roles and databases give to new ones."""

    settings: Mapping[str, str | None]
    defaults: frozenset[tuple[int, int, str]]
    temporary: Sequence[str]


class Kept:
    """Tells what a file has made of its session, and makes another session the same.

    Parameters:
        session: as it is before a file.
        text: the file's.
        done: its statements that an earlier session has finished.
    """

    def __init__(self, session: Session, text: str, done: Sequence[Step]):
        self._session = session
        named = self._asked(_IN_FUNCTIONS)
        in_text = re.findall(_NAMED, text, re.IGNORECASE)
        self._named = [*sorted({name.lower() for name in (*named, *in_text)}), *_WHO]
        self._first = self._look()
        self._computing: frozenset[str] | None = None
        self._before = next((s.left for s in reversed(done) if s.left is not None), Left({}, []))

    def left(self) -> Left:
        """Return what is different in the session now from what it was before the file."""
        now, first = self._look(), self._first
        changed = {text.partition("=")[0].lower() for *_, text in now.defaults ^ first.defaults}
        kept = {name.lower() for name in self._before.settings} | changed
        settings = {
            name: value
            for name, value in now.settings.items()
            if value is not None
            and name in first.settings
            and (value != first.settings[name] or name.lower() in kept)
        }
        return Left(settings, sorted(now.temporary))

    def is_gone(self, step: Step) -> Sequence[str]:
        """Return what a finished statement left that no session can be given again."""
        return sorted(set(step.left.temporary if step.left else ()) & set(self._before.temporary))

    def unseen(self, statement: Statement) -> str | None:
        """Return by whose code a finished statement may have set what nothing lists."""
        if self._computing is None:
            self._computing = frozenset(self._asked(_COMPUTING))
        if not self._computing:
            return None
        names = {unquoted(token).lower() for token in statement.tokens()}
        return min(names & self._computing, default=None)

    def _asked(self, sql: str) -> list[str]:
        body = _BODY_FROM_14 if self._session.server.version >= 140000 else _BODY  # noqa: PLR2004
        asked = sql.replace("{body}", body).replace("%", "%%")
        return self._session.look(asked, ())[0] or []

    def restore(self) -> None:
        """Give the session the settings that the finished statements had made.

        Raises:
            psycopg2.Error: it may not have one of them.
        """
        wanted = dict(self._before.settings)
        if not wanted:
            return
        who = {name: wanted.pop(name, self._first.settings[name]) for name in _WHO}
        calls = ", ".join(
            f"pg_catalog.set_config({self._literal(name)}, {self._literal(value)}, false)"
            for name, value in (*wanted.items(), *who.items())
        )
        self._session.run(f"reset role; select {calls}")

    def _literal(self, value: str | None) -> str:
        return literal(self._session.connection, value)

    def _look(self) -> _Look:
        listed, named, defaults, temporary = self._session.run(_LOOK, (self._named,))
        settings = {name: value for name, value in listed.items() if name not in _OURS}
        stored = frozenset(tuple(each) for each in defaults or ())
        temporary = [re.sub(r"\bpg_temp_\d+\.", "pg_temp.", name) for name in temporary or ()]
        return _Look(settings | named, stored, temporary)
