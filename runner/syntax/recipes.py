"""The safe way to do what a statement does at once: the same end, and nobody is kept waiting.

From the statement's text: names, types and expressions are taken as they are written. A step is a
file of its own, because what it waits for must not be waited for under the lock of another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from runner.syntax.clauses import first_name
from runner.syntax.lexer import Lexer, unquoted
from runner.syntax.locks import AFTER_TYPE, default_rewrites
from runner.syntax.scanner import Statement

_LONGEST = 63  # bytes of a name
_plain = re.compile(r"[a-z_][a-z0-9_$]*").fullmatch


class Step(NamedTuple):
    """One file of the safe way: what it is for, its statements, and those that undo it.

    `alone`, `undone_alone`: without a transaction; `later`: once the application that needs the
    old form is gone; `down` is None where the text does not tell; `allow` are the waivers that it
    needs, for a linter sees one file at a time.
    """

    what: str
    up: tuple[str, ...]
    down: tuple[str, ...] | None = None
    alone: bool = False
    undone_alone: bool = False
    later: bool = False
    allow: tuple[str, ...] = ()


class Recipe(NamedTuple):
    """The steps, to which table, and what the statement does where it is run as it is.

    `of_rewrite`: needed only where the server would write the table anew.
    """

    relation: str
    why: str
    steps: tuple[Step, ...]
    of_rewrite: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it can be written as files now: it is told, and waits for no deployment."""
        return all(step.down is not None and not step.later for step in self.steps)

    def text(self) -> str:
        """Return it as SQL, with what is to be known of each step."""
        lines = [f"-- {self.why}"]
        for number, step in enumerate(self.steps, 1):
            alone = ", without a transaction" if step.alone else ""
            later = ", when no application needs the old form any more" if step.later else ""
            lines.append(f"-- file {number} of {len(self.steps)}{alone}{later}: {step.what}")
            lines += [f"-- runner: allow {waiver}" for waiver in step.allow]
            lines += [f"{sql};" for sql in step.up]
        return "\n".join(lines)


class _Words:
    """The tokens of a statement, or of a part of it, with the text that they are made of."""

    def __init__(self, source: str, tokens: Sequence[str], spans: Sequence[tuple[int, int]]):
        self._source, self._spans = source, spans
        self.tokens = list(tokens)

    def text(self, start: int = 0, stop: int | None = None) -> str:
        """Return the text from a token to before another."""
        spans = self._spans[start:stop]
        return self._source[spans[0][0] : spans[-1][1]] if spans else ""

    def part(self, start: int, stop: int | None = None) -> _Words:
        return _Words(self._source, self.tokens[start:stop], self._spans[start:stop])

    def find(self, *words: str, start: int = 0) -> int:
        """Return where one of some words stands outside parentheses, the end where none does."""
        depth = 0
        for place, token in enumerate(self.tokens):
            depth -= token in {")", "]"}
            if place >= start and not depth and token in words:
                return place
            depth += token in {"(", "["}
        return len(self.tokens)

    def inside(self, start: int) -> _Words:
        """Return what stands in the parentheses that begin here, and nothing where none do."""
        if self.tokens[start : start + 1] != ["("]:
            return self.part(0, 0)
        return self.part(start + 1, self.find(")", start=start))


def recipe_of(statement: Statement) -> Recipe | None:
    """Return the safe way to do what a statement does, None where we know no other."""
    if statement.keyword not in {"ALTER", "CREATE"}:
        return None
    text = statement.text
    lexer = Lexer(text)
    words = _Words(text, [*statement.tokens()], [*lexer.spans(0, len(text))])
    if statement.keyword == "CREATE":
        return _create_index(words)
    return _alter_table(words) if words.tokens[1:2] == ["TABLE"] else None


def _named(*parts: str, kind: str) -> str | None:
    """Return the name that PostgreSQL would make up of others, None where it cuts them."""
    name = "_".join([*map(unquoted, parts), kind])
    if len(name.encode()) > _LONGEST:
        return None
    return name if _plain(name) else '"{}"'.format(name.replace('"', '""'))


def _last(name: str) -> str:
    """Return a qualified name without its schema."""
    return re.sub(r'^(?:"(?:[^"]|"")*"|[^".]+)\.', "", name)


def _beside(table: str, name: str) -> str:
    """Return a name with the schema of a table, if one is given."""
    return table[: len(table) - len(_last(table))] + name


def _columns(words: _Words) -> list[str] | None:
    """Return the columns of a list, None where it holds anything else."""
    names, commas = words.tokens[::2], words.tokens[1::2]
    plain = all(re.fullmatch(r'[^\W\d][\w$]*|"(?:[^"]|"")+"', name) for name in names)
    if not names or not plain or set(commas) - {","} or len(names) != len(commas) + 1:
        return None
    return [*map(_as_sql, names)]


def _create_index(words: _Words) -> Recipe | None:
    unique = words.tokens[1:2] == ["UNIQUE"]
    begin = 2 if unique else 1
    on = words.find("ON")
    if words.tokens[begin : begin + 1] != ["INDEX"] or on == len(words.tokens):
        return None
    named = words.tokens[begin + 1 : on]
    if named[:1] == ["CONCURRENTLY"] or len(named) not in (0, 1, 4):
        return None
    table = first_name(words.tokens[on + 1 :])
    columns = _columns(words.inside(words.find("(", start=on)))
    name = named[-1] if named else columns and _named(_last(table), *columns, kind="idx")
    if not name:
        return None
    name = _as_sql(name)
    exists = "if not exists " if len(named) > 1 else ""
    create = f"create {'unique ' * unique}index concurrently {exists}{name} {words.text(on)}"
    drop = f"drop index concurrently {_beside(table, name)}"
    step = Step("build it beside the writes", (create,), (drop,), alone=True, undone_alone=True)
    return Recipe(table, f"stops writes to {table} while the index is built", (step,))


def _alter_table(words: _Words) -> Recipe | None:
    start = 4 if words.tokens[2:4] == ["IF", "EXISTS"] else 2
    start += words.tokens[start : start + 1] == ["ONLY"]
    table = first_name(words.tokens[start:])
    while words.tokens[start + 1 : start + 2] == ["."]:
        start += 2
    start += 1
    alter = words.text(0, start)
    found = [(_recipe(table, alter, action), action) for action in _actions(words, start)]
    known = [recipe for recipe, _ in found if recipe]
    if not known:
        return None
    steps: list[Step] = []
    for recipe, action in found:
        more = recipe.steps if recipe else [Step("as it is", (f"{alter} {action.text()}",))]
        steps += more
    why = "; ".join(dict.fromkeys(recipe.why for recipe in known))
    of_rewrite = all(recipe.of_rewrite for recipe in known)
    return Recipe(table, why, tuple(steps), of_rewrite)


def _actions(words: _Words, start: int) -> Iterator[_Words]:
    rest = words.part(start)
    while rest.tokens:
        stop = rest.find(",")
        yield rest.part(0, stop)
        rest = rest.part(stop + 1)


def _recipe(table: str, alter: str, action: _Words) -> Recipe | None:
    """Return the safe way for one action."""
    match action.tokens:
        case ["ADD", "CONSTRAINT", name, *_]:
            return _constraint(table, alter, _as_sql(name), action.part(3))
        case ["ADD", "UNIQUE" | "PRIMARY" | "FOREIGN" | "CHECK" | "EXCLUDE", *_]:
            return _constraint(table, alter, None, action.part(1))
        case ["ADD", *_]:
            return _add_column(table, alter, action)
        case ["ALTER", *_]:
            return _alter_column(table, alter, action)
        case ["RENAME", *names]:
            return _rename(table, alter, names)
    return None


def _as_sql(token: str) -> str:
    return token if token.startswith('"') else token.lower()


def _constraint(table: str, alter: str, name: str | None, body: _Words) -> Recipe | None:
    if body.tokens[-2:] == ["NOT", "VALID"]:
        return None
    match body.tokens:
        case ["FOREIGN", "KEY", "(", *_]:
            columns = _columns(body.inside(2))
            made = columns and _named(_last(table), *columns, kind="fkey")
            why = f"stops writes to {table} and the other table while every row is looked up"
            return _validated(table, alter, name or made or None, body.text(), why)
        case ["CHECK", *_]:
            why = f"stops everybody at {table} while every row is looked at"
            return _validated(table, alter, name, body.text(), why)
        case ["UNIQUE" | "PRIMARY", *_]:
            return _unique(table, alter, name, body)
    return None


def _validated(table: str, alter: str, name: str | None, body: str, why: str) -> Recipe | None:
    """Add a constraint for what is written from now on, then look at what is there."""
    if not name:
        return None
    add, drop = f"{alter} add constraint {name} {body} not valid", f"{alter} drop constraint {name}"
    return Recipe(
        table,
        why,
        (
            Step("for what is written from now on", (add,), (drop,)),
            Step(
                "for what is there, beside the writes",
                (f"{alter} validate constraint {name}",),
                (drop, add),
            ),
        ),
    )


def _unique(table: str, alter: str, name: str | None, body: _Words) -> Recipe | None:
    """Build the index beside the writes, then make it the constraint's."""
    primary = body.tokens[0] == "PRIMARY"
    nulls = body.tokens[1:4] if body.tokens[1:2] == ["NULLS"] else []
    begin = 2 if primary else 1 + len(nulls)
    columns = _columns(body.inside(begin))
    end = body.find(")", start=begin) + 1
    if columns is None or body.find("WITH", "USING", "INCLUDE") < len(body.tokens):
        return None
    kind = "pkey" if primary else "key"
    made = _named(_last(table), *([] if primary else columns), kind=kind)
    name = name or made
    if not name:
        return None
    distinct = f" {' '.join(nulls).lower()}" if nulls else ""
    index = f"create unique index concurrently {name} on {table} ({', '.join(columns)}){distinct}"
    what, more = ("primary key" if primary else "unique"), body.text(end)
    tail = f" {more}" if more else ""
    build = Step("build its index beside the writes", (index,),
                 (f"drop index concurrently {_beside(table, name)}",), alone=True,
                 undone_alone=True)  # fmt: skip
    add = Step(
        "make it the constraint's" + (": its columns are NOT NULL before" if primary else ""),
        (f"{alter} add constraint {name} {what} using index {name}{tail}",),
        (f"{alter} drop constraint {name}", index),
        undone_alone=True,
    )
    return Recipe(table, f"stops everybody at {table} while the index is built", (build, add))


def _alter_column(table: str, alter: str, action: _Words) -> Recipe | None:
    begin = 2 if action.tokens[1:2] == ["COLUMN"] else 1
    column = first_name(action.tokens[begin:])
    rest = action.part(begin + 1)
    if rest.tokens == ["SET", "NOT", "NULL"]:
        steps = _not_null(table, alter, column)
        why = f"stops everybody at {table} while every row is looked at"
        return Recipe(table, why, steps) if steps else None
    type_ = rest.find("TYPE")
    if rest.tokens[:1] == ["TYPE"] or rest.tokens[:3] == ["SET", "DATA", "TYPE"]:
        return _another_type(table, alter, column, rest.part(type_ + 1))
    return None


def _not_null(table: str, alter: str, column: str) -> tuple[Step, ...]:
    """Have a validated check spare the reading that SET NOT NULL does; nothing without a name."""
    name = _named(_last(table), column, kind="is_not_null")
    if not name:
        return ()
    add = f"{alter} add constraint {name} check ({column} is not null) not valid"
    drop, validate = f"{alter} drop constraint {name}", f"{alter} validate constraint {name}"
    return (
        Step("for what is written from now on", (add,), (drop,)),
        Step("for what is there, beside the writes", (validate,), (drop, add)),
        Step(
            "which spares the reading under the lock",
            (f"{alter} alter column {column} set not null", drop),
            (f"{alter} alter column {column} drop not null", add, validate),
            undone_alone=True,
            allow=(
                "adding-not-nullable-field: the check before it spares the reading",
                "ban-drop-constraint: NOT NULL says the same",
            ),
        ),
    )


def _add_column(table: str, alter: str, action: _Words) -> Recipe | None:
    begin = 2 if action.tokens[1:2] == ["COLUMN"] else 1
    column = first_name(action.tokens[begin:])
    rest = action.part(begin + 1)
    type_end = rest.find(*AFTER_TYPE)
    default = rest.find("DEFAULT")
    if not default_rewrites(action.tokens) or not 0 < type_end <= default < len(rest.tokens):
        return None
    value_end = min(rest.find("NOT", *(AFTER_TYPE - {"DEFAULT"}), start=default), len(rest.tokens))
    value = rest.text(default + 1, value_end)
    said = rest.tokens[type_end:default] + rest.tokens[value_end:]
    if said not in ([], ["NULL"], ["NOT", "NULL"]):
        return None
    add = Step(
        "a column without a value, and one for new rows",
        (
            f"{alter} add column {column} {rest.text(0, type_end)}",
            f"{alter} alter column {column} set default {value}",
        ),
        (f"{alter} drop column {column}",),
    )
    fill = _fill(table, column, value)
    steps = _not_null(table, alter, column) if said == ["NOT", "NULL"] else ()
    if said == ["NOT", "NULL"] and not steps:
        return None
    return Recipe(
        table,
        f"stops everybody at {table} while every row is written anew",
        (add, fill, *steps),
        of_rewrite=True,
    )


def _fill(table: str, column: str, value: str, where: str = "") -> Step:
    """Give a value to every row that lacks one, a few blocks at a time.

    What others move meanwhile to where it has been is found at the end.

    Parameters:
        where: and only to rows of which this is true.
    """
    up = _in_pieces(table, f"{column} = {value}", f"{column} is null{where}")
    down = _in_pieces(table, f"{column} = null", f"{column} is not null")
    what = "in pieces, each its own transaction"
    return Step(what, (up,), (down,), alone=True, undone_alone=True)


def _in_pieces(table: str, assignment: str, where: str) -> str:
    literal = table.replace("'", "''")
    return f"""do $fill$
declare
    block bigint := 0;
    blocks bigint := pg_relation_size('{literal}'::regclass)
        / current_setting('block_size')::bigint;
begin
    while block <= blocks loop
        update {table} set {assignment} where {where}
            and ctid >= format('(%s,0)', block)::tid
            and ctid < format('(%s,0)', block + 1000)::tid;
        commit;
        block := block + 1000;
    end loop;
    update {table} set {assignment} where {where};
end $fill$"""


def _another_type(table: str, alter: str, column: str, words: _Words) -> Recipe | None:
    using = words.find("USING")
    type_ = words.text(0, min(using, words.find("COLLATE")))
    given = words.part(using + 1)
    # Assigned, as the statement itself does: a cast would cut what is too long, and say nothing.
    value, new = column, f"new.{column}"
    if given.tokens:
        value = given.text()
        new = _of_row(given, column)
    copy = _named(column, kind="new")
    if not copy:
        return None
    recipe = _twins(
        _Twins(table, alter, column, copy, type_),
        f"new.{copy} := {new};",
        value,
        (f"{alter} drop column {column}", f"{alter} rename column {copy} to {column}"),
        f"stops everybody at {table} while every row is written anew, unless the server sees that"
        " the values stay as they are (a longer varchar, text)",
    )
    return recipe and recipe._replace(of_rewrite=True)


def _of_row(words: _Words, column: str) -> str:
    """Return an expression that has a column of NEW where it has the column."""
    text = ""
    for place, token in enumerate(words.tokens):
        gap = place and words.text(place - 1, place + 1)[len(words.text(place - 1, place)) :]
        gap = gap[: len(gap) - len(words.text(place, place + 1))] if gap else ""
        own = unquoted(token) == unquoted(column) and "'" not in token
        plain = words.tokens[place - 1 : place] != ["."]
        text += f"{gap}{'new.' * (own and plain)}{words.text(place, place + 1)}"
    return text


def _rename(table: str, alter: str, names: list[str]) -> Recipe | None:
    match names:
        case ["TO", new]:
            return _rename_table(table, alter, _as_sql(new))
        case ["COLUMN", old, "TO", new] | [old, "TO", new]:
            return _rename_column(table, alter, _as_sql(old), _as_sql(new))
    return None


def _rename_column(table: str, alter: str, old: str, new: str) -> Recipe | None:
    keep = (
        f"if tg_op = 'INSERT' then new.{new} := coalesce(new.{new}, new.{old});"
        f" new.{old} := new.{new};"
        f" elsif new.{new} is distinct from old.{new} then new.{old} := new.{new};"
        f" else new.{new} := new.{old}; end if;"
    )
    return _twins(
        _Twins(table, alter, old, new, f"<type of {old}>"),
        keep,
        old,
        (f"{alter} drop column {old}",),
        f"breaks, at that moment, every client that asks for {old}",
    )


class _Twins(NamedTuple):
    """Two columns of a table, the second of which takes the first one's place."""

    table: str
    alter: str
    old: str
    new: str
    type_: str


def _twins(twins: _Twins, keep: str, value: str, end: tuple[str, ...], why: str) -> Recipe | None:
    """Have a trigger keep two columns in step, until nobody needs the old one.

    Parameters:
        keep: what the trigger does.
        value: what the new one gets in the rows that are there.
        end: what is left of the change when the trigger is gone.
    """
    table, alter, old, new, type_ = twins
    name = _named(_last(table), old, kind="in_step")
    if not name:
        return None
    routine = f"{_beside(table, name)}()"
    body = f"$$ begin {keep} return new; end $$"
    rows = f"before insert or update on {table} for each row"
    begin = (
        f"{alter} add column {new} {type_}",
        f"create function {routine} returns trigger language plpgsql as {body}",
        f"create trigger {name} {rows} execute function {routine}",
    )
    stop = (f"drop trigger {name} on {table}", f"drop function {routine}")
    more = f"what {old} has beside its type (default, NOT NULL, indexes) is for {new} to get"
    return Recipe(
        table,
        why,
        (
            Step(f"a second column, kept in step with the first; {more}", begin),
            _fill(table, new, value, f" and {old} is not null"),
            Step("the old one goes", (*stop, *end), later=True),
        ),
    )


def _rename_table(table: str, alter: str, new: str) -> Recipe:
    view = f"create view {table} as select * from {_beside(table, new)}"
    return Recipe(
        table,
        f"breaks, at that moment, every client that asks for {table}",
        (
            Step("the new name, and a view for the old one", (f"{alter} rename to {new}", view)),
            Step("the old name goes", (f"drop view {table}",), later=True),
        ),
    )
