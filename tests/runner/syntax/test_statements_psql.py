"""The scanner against psql itself, which sends each statement it cuts in a message of its own."""

import os
import socketserver
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from runner.embedded import embedded_bin_dir
from runner.syntax.lexer import Lexer
from runner.syntax.scanner import Scanner, copies, scan
from runner.syntax.statements import problems
from tests.runner.syntax.cut import split

Sent = list[tuple[str, str]]  # a message, and the data of COPY after it
CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.sql"))
SHARE = embedded_bin_dir().parent / "share"
SHIPPED = sorted(SHARE.rglob("*.sql"))


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


READY = message(b"Z", b"I")
DONE = message(b"C", b"DONE\0") + READY


class Listener(socketserver.StreamRequestHandler):
    """As much of a PostgreSQL server as psql needs to send its messages: all of them succeed."""

    sent: ClassVar[Sent] = []

    def handle(self) -> None:
        while True:
            size, code = struct.unpack("!II", self.rfile.read(8))
            self.rfile.read(size - 8)
            if code >> 16 == 3:
                break
            self.wfile.write(b"N")  # neither TLS nor GSSAPI
        settings = {b"server_version": b"18.0", b"client_encoding": b"UTF8"}
        settings[b"standard_conforming_strings"] = b"on"
        reports = [message(b"S", b"%s\0%s\0" % item) for item in settings.items()]
        self.wfile.write(message(b"R", bytes(4)) + b"".join(reports) + READY)
        while (kind := self.rfile.read(1)) not in (b"", b"X"):
            body = self.rfile.read(struct.unpack("!I", self.rfile.read(4))[0] - 4)
            if kind == b"Q":
                self.query(body[:-1].decode())
            elif kind == b"d":
                text, data = self.sent[-1]
                self.sent[-1] = (text, data + body.decode())
            elif kind == b"c":
                self.wfile.write(DONE)

    def query(self, text: str) -> None:
        self.sent.append((text, ""))
        first = next(scan(text), None)
        takes_data = first is not None and first.keyword == "COPY" and copies(first) == "FROM"
        self.wfile.write(message(b"G", struct.pack("!bH", 0, 0)) if takes_data else DONE)


@pytest.fixture(scope="module")
def psql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Sent]]:
    """Give a function that runs a text through psql and returns what psql sent."""
    path = tmp_path_factory.mktemp("psql") / "text.sql"
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Listener) as listener:
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        port = str(listener.server_address[1])
        command = [
            embedded_bin_dir() / "psql",
            "-X",
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            port,
            "-f",
            path,
        ]
        environment = {"PATH": os.defpath, "PGCLIENTENCODING": "UTF8", "PGUSER": "x", "HOME": "/"}

        def run(text: str) -> Sent:
            Listener.sent.clear()
            path.write_bytes(text.encode())
            done = subprocess.run(command, env=environment, capture_output=True, check=True)
            assert not done.stderr, done.stderr.decode()
            return list(Listener.sent)

        yield run
        listener.shutdown()
        thread.join()


def tokens(text: str) -> list[str]:
    """Give what counts in a statement: psql leaves out the empty lines."""
    return list(Lexer(text).tokens(0, len(text)))


def as_we_cut(text: str) -> list[tuple[list[str], str]]:
    return [
        (tokens(statement.text), text[slice(*(statement.copy_data or (0, 0)))])
        for statement in scan(text)
    ]


def as_psql_cuts(sent: Sent) -> list[tuple[list[str], str]]:
    """Cut from psql's messages what surrounds the statement, and leave out the empty ones."""
    trimmed = [(split(text), data) for text, data in sent]
    assert all(len(parts) <= 1 for parts, _ in trimmed)
    return [(tokens(parts[0]), data) for parts, data in trimmed if parts]


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_splits_our_corpus_as_psql(path: Path, psql: Callable[[str], Sent]) -> None:
    text = path.read_bytes().decode()
    assert problems(text) == []
    assert as_we_cut(text) == as_psql_cuts(psql(text))


def test_splits_what_postgresql_ships_as_psql(psql: Callable[[str], Sent]) -> None:
    """All extension scripts and catalog views as one file, without the scripts' own guards."""
    assert len(SHIPPED) > 100
    text = "\n".join(path.read_text() for path in SHIPPED)
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("\\"))
    assert as_we_cut(text) == as_psql_cuts(psql(text))


pieces = st.sampled_from(
    [
        *("a", "e", "E'", "$$", "$a$", "$é$", "'", "''", '"', ";", "(", ")", "\n", "\r", " ", "\t"),
        *("--", "/*", "*/", "-", "/", "*", "+", "n'", "U&'", "\\", "x$$", "1", "\xa0", "\v"),
        *("select 1;", "'\\'", "E'\\''", "create", "begin", "end", "case", "\n'"),
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(pieces, min_size=5, max_size=40).map("".join))
def test_splits_soup_as_psql(psql: Callable[[str], Sent], text: str) -> None:
    scanner = Scanner(text)
    statements = list(scanner.statements())
    assume(not scanner.problems)
    # psql reads line by line and so overlooks that E'…' goes on with its rules on the next.
    words = [word for statement in statements for word in statement.tokens()]
    assume(not [word for word in words if word[:2].upper() == "E'" and {"\n", "\r"} & set(word)])
    assert as_we_cut(text) == as_psql_cuts(psql(text))
