"""What is sent at once of a file: cut from its text, or from a large file while it is read.

Of a large file only what is about to be sent is in memory, and the next piece is read and checked
while the server works. What is wrong near its end is found when what came before has run, and the
transaction takes that back.
"""

from __future__ import annotations

import codecs
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import IO, Any, NamedTuple, TypeVar

from runner.errors import ValidationFailed
from runner.files.examine import Message, Part, described, described_at, examine, sql_of
from runner.files.folder import Checksum, Migration, changed, gone
from runner.syntax import scanner
from runner.syntax.lexer import Problem
from runner.syntax.scanner import Statement
from runner.syntax.statements import begins_transaction, position, without_guards

_LARGE = 4 << 20  # bytes: smaller files are checked as a whole before anything runs
_WINDOW = 1 << 20  # characters that are cut at once, where no statement is longer
_READ = 1 << 18  # bytes
_NEAR = 1 << 14  # characters before and after a place that are looked at

_Item = TypeVar("_Item")


class Piece(NamedTuple):
    """SQL that is sent at once.

    start: where it is in the file, in characters; rows: the data that COPY … FROM stdin is given.
    """

    sql: str
    start: int
    rows: Iterable[str] | None = None


_FOLLOW: tuple[str, ...] = ()  # the rows of a piece whose data has not been read


class Near(NamedTuple):
    """A part of a file's text: a place in it, and how many lines come before the text.

    `column`: how many characters come before the text on its first line.
    """

    text: str
    offset: int
    line: int = 0
    column: int = 0

    def position(self) -> tuple[int, int]:
        """Return the place's line and column in the file, both from 1."""
        line, column = position(self.text, self.offset)
        return self.line + line, column + (self.column if line == 1 else 0)


def is_large(migration: Migration) -> bool:
    """Return whether a file is read while it runs.

    Not what runs without a transaction, which takes nothing back, and not what is wrapped in BEGIN
    and COMMIT, for its end says whether it is.
    """
    if migration.size <= _LARGE or migration.directives.no_transaction:
        return False
    with _opened(migration, **_TEXT) as file:
        return not begins_transaction(file.read(_NEAR))


def pieces_of(text: str, messages: Iterable[Message]) -> Iterator[Piece]:
    """Yield the pieces of a text that was cut into messages."""
    for message in messages:
        rows = [text[slice(*message.copy_data)]] if message.copy_data else None
        yield Piece(text[message.start : message.end], message.start, rows)


def piece_of(statement: Statement) -> Piece:
    """Return a statement as a piece."""
    data = statement.copy_data
    rows = [statement.source[slice(*data)]] if data else None
    return Piece(statement.text, statement.start, rows)


def pieces_of_large(migration: Migration) -> Iterator[Piece]:
    """Yield the pieces of a large file, and read one ahead of what was asked for.

    Rows are read as they are taken, all of them before the next piece.

    Raises:
        ValidationFailed: it holds what a migration must not.
        ConfigurationError: it is not what it was when the folder was read.
    """
    with closing(_ahead(_Cut(migration).items())) as items:
        for item in items:
            if isinstance(item, Piece):
                rows = iter(items.__next__, "") if item.rows is _FOLLOW else item.rows
                yield item._replace(rows=rows)  # type: ignore[arg-type] # no piece among them


def problems_in(migration: Migration) -> list[str]:
    """Return what is wrong with a file's SQL, as lines for a person.

    Raises:
        ConfigurationError: it is not what it was when the folder was read.
    """
    if not is_large(migration):
        text = sql_of(migration)
        return [described(migration, text, found) for found in examine(migration, text).problems]
    try:
        for piece in pieces_of_large(migration):
            for _ in piece.rows or ():
                pass
    except ValidationFailed as refused:
        return [*refused.details]
    return []


def near(migration: Migration, offset: int) -> Near:
    """Return what is around a place of a large file, which is given in characters.

    Raises:
        ConfigurationError: it cannot be read any more.
    """
    line = column = start = 0
    with _opened(migration, **_TEXT) as file:
        while text := file.read(min(_WINDOW, max(0, offset - _NEAR - start))):
            text += file.read(1) if text.endswith("\r") else ""  # half a line end, maybe
            start += len(text)
            lines, columns = position(text, len(text))
            column = columns - 1 + (column if lines == 1 else 0)
            line += lines - 1
        return Near(file.read(offset - start + _NEAR), offset - start, line, column)


_TEXT: dict[str, str] = {"encoding": "utf-8-sig", "errors": "replace", "newline": ""}


@contextmanager
def _opened(migration: Migration, **how: Any) -> Iterator[IO[Any]]:
    """Open a file that was there when the folder was read."""
    try:
        with migration.path.open(**how) as file:
            yield file
    except OSError as error:
        raise gone(migration, error) from error


def _ahead(items: Iterator[_Item]) -> Generator[_Item, None, None]:
    """Yield items, and let a thread make the next one while the last is used."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - for large files only

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = pool.submit(next, items, None)
            yield item


class _Source:
    """A file's text, as far as it was asked for; in the end it has to be what was planned."""

    def __init__(self, migration: Migration, file: IO[bytes]) -> None:
        self._migration = migration
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._checksum = Checksum()
        self._left = migration.size  # bytes: a file that still grows need never end
        self.ended = False
        if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            file.seek(0)

    def read(self, count: int = 1) -> str:
        """Return at least so many characters, fewer only at the end."""
        found: list[str] = []
        while count > 0 and not self.ended:
            found.append(self._next())
            count -= len(found[-1])
        return "".join(found)

    def _next(self) -> str:
        content = self._file.read(_READ)
        self.ended = not content
        self._checksum.add(content)
        self._left -= len(content)
        if self._left < 0 or (self.ended and not self._is_what_was_planned()):
            raise changed(self._migration)
        try:
            return self._decoder.decode(content, final=self.ended)
        except UnicodeDecodeError as error:
            raise changed(self._migration) from error

    def _is_what_was_planned(self) -> bool:
        return self._checksum.named() == self._migration.checksum


class _Cut:
    """Cuts a large file into pieces as it is read."""

    def __init__(self, migration: Migration) -> None:
        self._migration = migration
        self._text = ""  # what was read and is still to be cut
        self._start = 0  # where in the file that begins

    def items(self) -> Iterator[Piece | str]:
        """Yield pieces, and behind one whose rows follow these as texts, the last one empty."""
        with _opened(self._migration, mode="rb", buffering=0) as file:
            source, window = _Source(self._migration, file), _WINDOW
            while True:
                self._text += source.read(window - len(self._text))
                found = self._cut(Part(first=not self._start, last=source.ended))
                yield from found
                if source.ended:
                    return
                window = _WINDOW if found else window * 4  # for a statement that is longer
                if found and found[-1].rows is _FOLLOW:
                    yield from self._rows(source)

    def _cut(self, part: Part) -> list[Piece]:
        """Take what is whole from the text, and return its pieces."""
        text = without_guards(self._text)
        found = examine(self._migration, text, part)
        if found.problems:
            raise self._refused(found.problems)
        pieces = [
            piece._replace(start=self._start + piece.start)
            for piece in pieces_of(text, found.messages)
        ]
        if found.copies:
            pieces[-1] = pieces[-1]._replace(rows=_FOLLOW)
        # The rest begins with the semicolon, not as if a line began there.
        self._advance(found.end)
        return pieces

    def _advance(self, count: int) -> None:
        self._text, self._start = self._text[count:], self._start + count

    def _rows(self, source: _Source) -> Iterator[str]:
        """Yield the lines of data behind a COPY's semicolon, and an empty text where they end."""
        copy = self._start
        while "\n" not in self._text and not source.ended:
            self._text += source.read()
        start = scanner.data_start(self._text, len(";"))
        if start is None:
            raise self._refused([Problem(len(";"), *scanner.DATA_MISPLACED)])
        self._advance(start - 1)  # to the line end: a line begins behind it
        while not (closing_line := self._closing_line(source)):
            if kept := self._text.rfind("\n"):
                yield self._text[1 : kept + 1]
                self._advance(kept)
            if source.ended:
                raise self._refused([Problem(copy - self._start, *scanner.DATA_ENDLESS)])
            self._text += source.read()
        if rows := self._text[1:closing_line]:
            yield rows
        yield ""
        self._advance(closing_line + len("\\."))

    def _closing_line(self, source: _Source) -> int | None:
        """Return where the line is that closes the data, None where that cannot be told yet."""
        found = scanner.data_end(self._text, 0)
        if found and (found[0].endswith("\n") or source.ended):
            return found.start()
        return None

    def _refused(self, problems: Iterable[Problem]) -> ValidationFailed:
        details = tuple(self._described(problem) for problem in problems)
        return ValidationFailed(
            f"{len(details)} problem{'s' * (len(details) > 1)} in the SQL to run",
            details=details,
            fix="what had run of the file was rolled back; mend the places named above",
        )

    def _described(self, problem: Problem) -> str:
        place = near(self._migration, self._start + problem.offset).position()
        return described_at(self._migration, place, problem)
