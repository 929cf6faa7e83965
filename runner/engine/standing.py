"""How far a backfill is, and what that says of the rest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from runner.database.session import Session
from runner.engine import key as keys
from runner.engine.key import Key
from runner.files.directives import Batch
from runner.history.table import Checkpoint
from runner.result import Backfill


def standing(batch: Batch, point: Checkpoint | None, known: int | None = None) -> Backfill:
    """Return how far a backfill is.

    Parameters:
        point: its checkpoint, None where it has not begun.
        known: about how many rows are left, None: the table's size as it began tells.
    """
    point = point or Checkpoint("")
    rest = known
    if known is None and point.total is not None:
        rest = max(0, point.total - point.rows)
    rate = point.rows * 1000 / point.ms if point.ms and point.rows else None
    seconds = None if rest is None or rate is None else rest / rate
    ends = None if seconds is None else datetime.now(UTC) + timedelta(seconds=min(seconds, 1e9))
    return {
        "table": batch.table,
        "key": batch.column,
        "batch_size": batch.size,
        "background": batch.background,
        "rows": point.rows,
        "batches": point.batches,
        "rows_left": rest,
        "basis": None if rest is None else "size" if known is None else "statistics",
        "rows_per_second": None if rate is None else round(rate, 1),
        "seconds_left": None if seconds is None else round(seconds, 1),
        "ends_at": ends.isoformat(timespec="seconds") if ends else None,
    }


def seen(session: Session, key: Key, batch: Batch, point: Checkpoint) -> Backfill:
    """Return how far a backfill is, by a look at the table's statistics."""
    return standing(batch, point, keys.left(session, key, point.last))
