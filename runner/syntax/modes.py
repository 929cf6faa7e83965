"""PostgreSQL's modes of table locks: their names, their order, and whom they keep out.

https://www.postgresql.org/docs/current/explicit-locking.html
"""

from __future__ import annotations

from typing import NamedTuple

ROW = "RowExclusiveLock"
SHARE_UPDATE = "ShareUpdateExclusiveLock"
SHARE = "ShareLock"
SHARE_ROW = "ShareRowExclusiveLock"
EXCLUSIVE = "ExclusiveLock"
ALL = "AccessExclusiveLock"


class Mode(NamedTuple):
    """One mode: as SQL writes it, and what it keeps others from, by level from 0 to 3."""

    words: str
    level: int


# As pg_locks writes them, from the weakest to the strongest.
MODES = {
    "AccessShareLock": Mode("ACCESS SHARE", 0),
    "RowShareLock": Mode("ROW SHARE", 0),
    ROW: Mode("ROW EXCLUSIVE", 0),
    SHARE_UPDATE: Mode("SHARE UPDATE EXCLUSIVE", 1),
    SHARE: Mode("SHARE", 2),
    SHARE_ROW: Mode("SHARE ROW EXCLUSIVE", 2),
    EXCLUSIVE: Mode("EXCLUSIVE", 2),
    ALL: Mode("ACCESS EXCLUSIVE", 3),
}

# What the levels keep others from; the last two are those that an application feels.
BLOCKS = ("nothing but schema changes", "schema changes and vacuum", "writes", "reads and writes")

_STRONGEST = Mode("", len(BLOCKS) - 1)
_ORDER = {mode: place for place, mode in enumerate(MODES)}
_BY_WORDS = {mode.words: name for name, mode in MODES.items()}


def strength(name: str) -> int:
    """Return a mode's place from the weakest to the strongest; an unknown one is the strongest."""
    return _ORDER.get(name, len(_ORDER))


def words(name: str) -> str:
    """Return a mode as SQL writes it; an unknown one as it is."""
    return MODES[name].words if name in MODES else name


def worded(text: str) -> str | None:
    """Return the mode that SQL writes so, None where there is none."""
    return _BY_WORDS.get(text)


def level(name: str) -> int:
    """Return what a mode keeps others from, as an index into BLOCKS."""
    return MODES.get(name, _STRONGEST).level
