"""Find where PostgreSQL's statements begin and end in a text, as psql's own lexer would.

Splitting decides what reaches the server and what is refused, so it follows PostgreSQL's rules
and not a dialect-neutral approximation. Nothing here looks at meaning beyond what the cutting
needs: the first word, a routine's BEGIN ATOMIC body, the data after COPY … FROM stdin.
"""

import re
import string
from collections.abc import Iterator

# Only these are blanks to PostgreSQL; everything from U+0080 on is a letter, blank-looking or not.
# So letters are what is not another ASCII character: such sets also compile and match fastest.
_BLANKS = r"[ \t\n\r\f\v]"
_LETTER = r"[^\x00-@\[-^`{-\x7f]"
_LETTER_BUT_E = r"[^\x00-@E\[-^`e{-\x7f]"
_LETTER_OR_DIGIT = r"[^\x00-/:-@\[-^`{-\x7f]"
_REST = r"[^\x00-#%-/:-@\[-^`{-\x7f]*+"
_WORD = rf"{_LETTER}{_REST}"
# A number with whatever sticks to it: no grammar takes a literal right after a number, so
# swallowing its suffix is harmless, and right for 13, where 1_0$$ ends in a name.
_NUMBER = rf"\$?[0-9]{_REST}"
LINE_COMMENT = r"--[^\n\r]*+"
TRIVIA = rf"(?>(?:{_BLANKS}++|{LINE_COMMENT}|/\*(?>(?:[^*/]++|\*(?!/)|/(?!\*))*)\*/)*)"
_SIGNS = r"[\x00-!#%&*+,.:<=>?@\[\]^`{|}~\x7f]"  # blanks among them

_ESCAPED = r"'(?>(?:[^'\\]++|''|\\[\s\S])*)'"
# After a newline the next literal goes on with the first one's rules: E'a' ⏎ '\''.
_CONTINUED = (
    rf"(?>(?:[ \t\f\v]|{LINE_COMMENT})*)[\n\r](?>(?:{_BLANKS}|{LINE_COMMENT}[\n\r])*){_ESCAPED}"
)
_E_STRING = rf"[eE]{_ESCAPED}(?>(?:{_CONTINUED})*)"

# One harmless token, or a run of blanks and signs. The prefix of any other kind of string may be
# read as a word, for only in E'…' does a backslash hide a quote. Comments are not harmless: they
# do not count where a statement ends.
HARMLESS = (
    rf"(?:{_SIGNS}++|{_LETTER_BUT_E}{_REST}|'[^']*+'|{_NUMBER}|[eE](?!'){_REST}"
    rf"|{_E_STRING}|\"[^\"]*+\"|-(?!-)|/(?!\*))"
)

_trivia = re.compile(TRIVIA).match

_TOKEN = (
    rf"{_E_STRING}"
    r"|(?:[uU]&)?'[^']*+(?>(?:''[^']*+)*)'|[bBxX]'[^']*+'"
    r"|(?:[uU]&)?\"[^\"]*+(?>(?:\"\"[^\"]*+)*)\""
    rf"|(?![eE]'){_WORD}|{_NUMBER}"
)
_token = re.compile(_TOKEN).match
_token_and_trivia = re.compile(rf"({_TOKEN}){TRIVIA}").match
_dollar_tag = re.compile(rf"\$(?:{_LETTER}{_LETTER_OR_DIGIT}*+)?\$").match
_comment_edge = re.compile(r"/\*|\*/").finditer
word_at = re.compile(_WORD).match
_INSTEAD = {
    "\\i": "put that file's SQL here",
    "\\ir": "put that file's SQL here",
    "\\copy": r"write COPY … FROM stdin; with the data after it and \. on a line of its own",
    "\\c": "leave it out: a file is for one database (pg_dump without --create)",
    "\\connect": "leave it out: a file is for one database (pg_dump without --create)",
    "\\.": "leave it out: it ends the data of COPY … FROM stdin, which has none here",
}
_FOLDING = frozenset(string.ascii_letters + "_")
_line_end = re.compile(r"[^\n\r]*+").match


class Problem:
    """Something a migration file must not hold.

    offset: where, in characters from the file's start; message: what is wrong;
    fix: what to do about it.
    """

    __slots__ = ("fix", "message", "offset")

    def __init__(self, offset: int, message: str, fix: str) -> None:
        self.offset = offset
        self.message = message
        self.fix = fix

    def __repr__(self) -> str:
        return f"Problem({self.offset}, {self.message!r}, {self.fix!r})"


class Lexer:
    """The tokens of a text, one at a time; problems gather as they are met."""

    __slots__ = ("problems", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.problems: list[Problem] = []

    def tokens(self, start: int, end: int) -> Iterator[str]:
        """Yield the tokens between two offsets: words in capitals, the rest as written."""
        text, pos = self.text, self.skip_trivia(start)
        while pos < end:
            if match := _token_and_trivia(text, pos):
                found, pos = match[1], match.end()
            else:
                stop = self.token_end(pos)
                found, pos = text[pos:stop], stop
            if not match or text.startswith("/*", pos):
                pos = self.skip_trivia(pos)
            # Only ASCII folds: U+017F in capitals is an S to Python, but not to PostgreSQL.
            folds = found[0] in _FOLDING and found[-1] not in "'\"" and found.isascii()
            yield found.upper() if folds else found

    def spans(self, pos: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield where each token starts and ends."""
        while (pos := self.skip_trivia(pos)) < end:
            start, pos = pos, self.token_end(pos)
            yield start, pos

    def skip_trivia(self, pos: int) -> int:
        """Return where the next token starts, or the text's length."""
        text = self.text
        while True:
            pos = _trivia(text, pos).end()  # type: ignore[union-attr]  # it matches nothing as well
            if not text.startswith("/*", pos):
                return pos
            depth = 0
            for edge in _comment_edge(text, pos):
                depth += 1 if edge.group() == "/*" else -1
                if not depth:
                    pos = edge.end()
                    break
            else:
                self.refuse(pos, "this comment is never closed", "close it with */")
                return len(text)

    def token_end(self, pos: int) -> int:
        """Return where the token that starts here ends."""
        text = self.text
        if match := _token(text, pos):
            return match.end()
        char = text[pos]
        if char == "$" and (tag := _dollar_tag(text, pos)):
            close = text.find(tag.group(), tag.end())
            if close >= 0:
                return close + len(tag.group())
            self.refuse(pos, "this dollar quote is never closed", f"close it with {tag.group()}")
            return len(text)
        if char == "\\":
            return self.command(pos)
        if char in "'\"eE":
            quote = '"' if char == '"' else "'"
            self.refuse(pos, "this quote is never closed", f"close it with {quote}")
            return len(text)
        return pos + 1

    def command(self, pos: int) -> int:
        """Refuse a psql command and return the end of its line."""
        line = _line_end(self.text, pos)
        end = line.end() if line else pos
        name = self.text[pos:end].split()[0]
        fix = _INSTEAD.get(name, "write it in SQL or leave it out")
        self.refuse(pos, f"{name} is for psql, not for the server", fix)
        return end

    def refuse(self, offset: int, message: str, fix: str) -> None:
        """Note a problem and go on, so that all of them are told at once."""
        self.problems.append(Problem(offset, message, fix))


def unquoted(token: str) -> str:
    """Return what a token names: a word in small letters, a quoted one as it is between quotes."""
    if token[-1:] in ("'", '"'):
        return token[token.index(token[-1]) + 1 : -1]
    if tag := _dollar_tag(token):
        return token[tag.end() : -len(tag.group())]
    return token.lower()
