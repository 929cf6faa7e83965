"""Cut a text into statements, with a fast path for what needs no thought."""

import re
from collections.abc import Callable, Iterator
from itertools import islice

from runner.syntax.lexer import HARMLESS, LINE_COMMENT, Lexer, word_at

# How many tokens the fast path takes at once: what `re` remembers of each is given back at its end.
_AT_ONCE = 2_000
_LIST = rf"\((?>{HARMLESS}{{0,{_AT_ONCE}}})\)"
_LISTS = rf"\((?>(?:{HARMLESS}|{_LIST}){{0,{_AT_ONCE}}})\)"
# The fast path: as many tokens and small balanced lists as possible, and the blanks among them.
_run = re.compile(rf"(?>(?:{HARMLESS}|{_LISTS}){{0,{_AT_ONCE}}})").match
_BLANKS = " \t\n\r\f\v"
# INSERTs that follow each other without comments, as in a file of data.
_inserts = re.compile(
    rf"(?>(?:[iI][nN][sS][eE][rR][tT](?=[ \t\n\r])(?>(?:{HARMLESS}|{_LISTS}){{0,{_AT_ONCE}}})"
    rf";[ \t\n\r]*+){{0,200}})"
).match
_pg_dump_guard = re.compile(r"\\(?:un)?restrict(?![^ \t\n\r])[^\n\r]*+").match
_copy_rest = re.compile(rf"[ \t\f\v\r]*+(?:{LINE_COMMENT})?\r?\n").match
_data_end = re.compile(r"\\\.\r?(?:\n|\Z)").match
_atomic = re.compile("[aA][tT][oO][mM][iI][cC]").search
HEAD_TOKENS = 5
_KEPT = 2_000  # characters of a statement whose tokens are kept: several rules ask for them


class Statement:
    """One statement of a text, from its first token to its last, without the semicolon.

    start, end: offsets in characters; keyword: its first word in capitals, empty when it starts
    with anything else; terminated: whether a semicolon follows; copy_data: the span of the lines
    that follow COPY … FROM stdin, without the closing line.
    """

    __slots__ = ("_tokens", "copy_data", "end", "keyword", "source", "start", "terminated")

    def __init__(self, source: str, start: int, end: int, keyword: str, terminated: bool) -> None:
        self.source = source
        self.start = start
        self.end = end
        self.keyword = keyword
        self.terminated = terminated
        self.copy_data: tuple[int, int] | None = None
        self._tokens: tuple[str, ...] | None = None

    @property
    def text(self) -> str:
        """The statement's text, a slice of the source."""
        return self.source[self.start : self.end]

    @property
    def head(self) -> tuple[str, ...]:
        """Its first tokens, as `tokens` gives them: enough to tell what kind it is."""
        return tuple(islice(self.tokens(), HEAD_TOKENS))

    def tokens(self) -> Iterator[str]:
        """Yield its tokens: words in capitals, anything quoted as it is written."""
        if self.end - self.start > _KEPT:
            return Lexer(self.source).tokens(self.start, self.end)
        if self._tokens is None:
            self._tokens = tuple(Lexer(self.source).tokens(self.start, self.end))
        return iter(self._tokens)

    def __repr__(self) -> str:
        return f"Statement({self.start}, {self.end}, {self.text[:60]!r})"


class Scanner(Lexer):
    """One pass over a text; problems and pg_dump's guard lines gather as the statements go by.

    Parameters:
        more: the text goes on: COPY's data, which may be long, is left to who reads on.
    """

    __slots__ = ("_after", "_more", "guards")

    def __init__(self, text: str, *, more: bool = False) -> None:
        super().__init__(text)
        self.guards: list[tuple[int, int]] = []
        self._after = 0
        self._more = more

    def statements(self) -> Iterator[Statement]:
        """Yield the statements in order; empty ones and what lies between them are left out."""
        return self._walk(self._statement)

    def stretches(self) -> Iterator[Statement]:
        """Yield the statements in order, but INSERTs that follow each other as if they were one.

        Files of data consist of them, and for what is asked of such a file one is like the other.
        """
        return self._walk(self._stretch)

    def _walk(self, take: Callable[[int], Statement]) -> Iterator[Statement]:
        pos = 0
        while (pos := self.skip_trivia(pos)) < len(self.text):
            char = self.text[pos]
            if char == ";":
                pos += 1
            elif char == "\\":
                pos = self._guard_or_command(pos)
            else:
                yield take(pos)
                pos = self._after

    def _stretch(self, start: int) -> Statement:
        found = _inserts(self.text, start) if self.text[start] in "iI" else None
        if not found or found.end() == start:
            return self._statement(start)
        self._after = found.end()
        stop = self._trimmed(start, found.end()) - 1  # at the semicolon
        return Statement(self.text, start, self._trimmed(start, stop), "INSERT", True)

    def _trimmed(self, start: int, end: int) -> int:
        """Return where a span ends without the blanks at its end."""
        while end > start and self.text[end - 1] in _BLANKS:
            end -= 1
        return end

    def _statement(self, start: int) -> Statement:
        word = word_at(self.text, start)
        keyword = word.group().upper() if word and word.group().isascii() else ""
        known = len(self.problems)
        end, stop = self._plain_end(start)
        if keyword == "CREATE" and _atomic(self.text, start, stop) and self._is_routine(start):
            del self.problems[known:]
            end, stop = self._routine_end(start)
        statement = Statement(self.text, start, end, keyword, stop < len(self.text))
        self._after = stop + 1
        if not self._more and takes_data(statement):
            self._find_copy_data(statement)
        return statement

    def _is_routine(self, start: int) -> bool:
        head = list(islice(self.tokens(start, len(self.text)), 4))[1:]
        return (head[2:] if head[:2] == ["OR", "REPLACE"] else head[:1]) in (
            ["FUNCTION"],
            ["PROCEDURE"],
        )

    def _plain_end(self, pos: int) -> tuple[int, int]:
        """Return where the statement's last token ends and where its semicolon (or the text) is."""
        text, depth, opened, end = self.text, 0, 0, pos
        while True:
            run = _run(text, pos)
            stop = run.end() if run else pos
            pos = stop if text.startswith(";", stop) else self.skip_trivia(stop)
            end = self._trimmed(end, stop)
            char = text[pos : pos + 1]
            if not char or (char == ";" and not depth):
                break
            if char == "(":
                opened, depth = opened if depth else pos, depth + 1
            elif char == ")":
                depth = max(depth - 1, 0)
            end = pos = self.token_end(pos)
        if depth and not self.problems:
            self.refuse(opened, "this parenthesis is never closed", "close it")
        return end, pos

    def _routine_end(self, pos: int) -> tuple[int, int]:
        """As `_plain_end`, for a routine, whose BEGIN ATOMIC body holds semicolons.

        Only an END right after a semicolon (or after BEGIN ATOMIC) closes the body: a CASE ends
        in END too, and begin, atomic and end may be names.
        """
        text, depth, body, previous, end = self.text, 0, -1, "", pos
        for start, stop in self.spans(pos, len(text)):
            symbol = text[start:stop].upper() if stop - start <= len("ATOMIC") else ""
            if symbol == ";" and not depth and body < 0:
                return end, start
            if symbol in ("(", ")"):
                depth = max(depth + (1 if symbol == "(" else -1), 0)
            elif symbol == "ATOMIC" and previous == "BEGIN" and not depth and body < 0:
                body, symbol = start, ";"
            elif symbol == "END" and previous == ";" and not depth:
                body = -1
            previous, end = symbol, stop
        if body >= 0 and not self.problems:
            self.refuse(body, "this BEGIN ATOMIC has no END", "close the body with END;")
        return end, len(text)

    def _guard_or_command(self, pos: int) -> int:
        guard = _pg_dump_guard(self.text, pos)
        line_start = max(self.text.rfind("\n", 0, pos), self.text.rfind("\r", 0, pos)) + 1
        if guard and not self.text[line_start:pos].strip(" \t"):
            self.guards.append(guard.span())
            return guard.end()
        return self.command(pos)

    def _find_copy_data(self, statement: Statement) -> None:
        if not statement.terminated:
            fix = f"add ; and data; {DATA_ENDLESS[1]}"
            self.refuse(statement.end, "COPY … FROM stdin has no data", fix)
            return
        start = data_start(self.text, self._after)
        if start is None:
            self.refuse(self._after, *DATA_MISPLACED)
            return
        closing = data_end(self.text, start - 1)
        if not closing:
            self.refuse(statement.start, *DATA_ENDLESS)
        statement.copy_data = (start, closing.start() if closing else len(self.text))
        self._after = statement.copy_data[1] + len("\\.")


DATA_MISPLACED = (
    "COPY … FROM stdin must be followed by its data",
    "start the data on the line after the semicolon",
)
DATA_ENDLESS = (
    "the data of this COPY … FROM stdin has no end",
    r"end the data with a line that holds \. alone",
)


def data_start(text: str, pos: int) -> int | None:
    """Return where COPY's data begins: on the line after its semicolon, which is before `pos`."""
    rest = _copy_rest(text, pos)
    return rest.end() if rest else None


def data_end(text: str, line_end: int) -> re.Match[str] | None:
    """Return the line that closes COPY's data, which begins behind the line end at an offset."""
    pos = text.find("\n\\.", line_end) + 1
    while pos and not _data_end(text, pos):
        pos = text.find("\n\\.", pos) + 1
    return _data_end(text, pos) if pos else None


def takes_data(statement: Statement) -> bool:
    """Return whether lines of data follow a statement: COPY … FROM stdin."""
    return statement.keyword == "COPY" and copies(statement) == "FROM"


def copies(statement: Statement) -> str:
    """Return FROM or TO for a COPY from or to the client, else an empty string.

    The grammar takes stdin and stdout for either direction.
    """
    depth, previous = 0, ""
    for symbol in statement.tokens():
        depth += (symbol == "(") - (symbol == ")")
        if not depth and previous in ("FROM", "TO"):
            return previous if symbol in ("STDIN", "STDOUT") else ""
        previous = "" if depth else symbol
    return ""


def scan(text: str) -> Iterator[Statement]:
    """Yield the statements of a text one by one; memory stays that of the text."""
    return Scanner(text).statements()
