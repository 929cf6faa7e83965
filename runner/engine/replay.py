"""Find the statement of a file that failed, where the server names no place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import psycopg2

from runner.database.session import Session
from runner.engine.attempt import send
from runner.engine.job import Job
from runner.files.pieces import Piece
from runner.syntax.scanner import scan


def failing_statement(session: Session, opening: str, jobs: Sequence[Job]) -> int | None:
    """Return where the failing statement of the last file begins, None if nothing fails now.

    The server names no place for errors that come up while a statement runs, such as a violated
    constraint. The files were rolled back, so they fail again here, the last one statement by
    statement; and are rolled back again.

    Parameters:
        opening: the SQL that begins the transaction.
        jobs: the files of the transaction up to the one that failed.
    """
    *before, failed = jobs
    place = None
    try:
        session.run(opening)
        with session.connection.cursor() as cursor:
            for job in before:
                for piece in job.pieces():
                    send(cursor, piece)
            for piece in failed.pieces():
                for single in _statements(piece):
                    place = single.start
                    send(cursor, single)
    except psycopg2.Error:
        session.rollback()
        return place
    session.rollback()
    return None


def _statements(piece: Piece) -> Iterator[Piece]:
    """Yield the statements of a piece, which is one where it is given data."""
    if piece.rows is not None:
        yield piece
        return
    for statement in scan(piece.sql):
        yield Piece(statement.text, piece.start + statement.start)
