"""Whether a column's values stay as they are stored when it gets another type."""

from __future__ import annotations

import re

_LENGTH = re.compile(r"\(([\d\s,-]+)\)")
_MOST = 6  # digits of a second, where a type does not say how many
_TIMES = re.compile(r"timestamp|time |interval").match
_STAMPS = {"timestamp with time zone", "timestamp without time zone"}


def is_rewritten(old: str, new: str, written: str, *, same_bytes: bool, utc: bool) -> bool:
    """Return whether PostgreSQL writes every row anew.

    Parameters:
        old: the column's type as format_type has it: character varying(50).
        new: the new type as format_type has it; a domain's is that of its base.
        written: the new type as SQL writes it: format_type knows no length of what is no domain.
        same_bytes: a cast without a function leads from the one to the other.
        utc: whether the session's time zone is, for times with and without one.
    """
    name, was = _LENGTH.sub("", old), _numbers(old)
    other, wanted = _LENGTH.sub("", new), _numbers(new) or _numbers(written)
    if name == other:
        return was != wanted and _shorter(name, was, wanted)
    if {name, other} == _STAMPS and utc:
        return wanted not in ((), (_MOST,))
    return not same_bytes or bool(wanted)


def _numbers(type_: str) -> tuple[int, ...]:
    found = _LENGTH.search(type_)
    return tuple(int(number) for number in found[1].split(",")) if found else ()


def _shorter(name: str, was: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Return whether a value of a type may not fit one of another length as it is."""
    if _TIMES(name):
        return (wanted or (_MOST,)) < (was or (_MOST,))
    if name not in {"character varying", "bit varying", "numeric"}:
        return True  # such as character, which is filled up with blanks
    if not wanted or not was:
        return bool(wanted)
    return wanted[0] < was[0] or wanted[1:] != was[1:]
