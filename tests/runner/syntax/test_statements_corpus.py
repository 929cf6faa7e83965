"""The scanner on whole files: PostgreSQL's own scripts and what pg_dump writes."""

import io
import os
import re
import subprocess
from pathlib import Path

import psycopg2
import pytest
from pglast import parser
from pglast import split as parse_and_split

from runner.embedded import embedded_bin_dir
from runner.syntax.lexer import Lexer
from runner.syntax.scanner import scan
from runner.syntax.statements import executable, position, problems

CORPUS = Path(__file__).parent / "corpus"
SHIPPED = sorted((embedded_bin_dir().parent / "share").rglob("*.sql"))


def tokens(text: str) -> list[str]:
    return list(Lexer(text).tokens(0, len(text)))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_splits_what_postgresql_ships_as_its_parser(path: Path) -> None:
    text = re.sub(r"@\w+(:\w+)?@", "extension", path.read_text())
    text = re.sub(r"(?m)^\\.*", "", text)  # "\echo … \quit" keeps psql away from these scripts
    ours = [list(statement.tokens()) for statement in scan(text)]
    assert ours == [tokens(part) for part in parse_and_split(text)]


def test_reads_our_files_as_the_server_does() -> None:
    """The data of COPY apart, of which the parser knows nothing."""
    for path in (CORPUS / "nasty.sql", CORPUS / "crlf.sql"):
        text = path.read_bytes().decode()
        for statement in scan(text):
            assert position(text, statement.start)[0] <= len(text.split("\n"))
            if "${" not in statement.text and ":name" not in statement.text:
                parser.parse_sql(statement.text)


def pg_dump(url: str) -> str:
    command = [embedded_bin_dir() / "pg_dump", "--no-owner", url]
    done = subprocess.run(
        command, env={"PATH": os.defpath}, check=True, capture_output=True, text=True
    )
    return re.sub(r"(?m)^(\\(un)?restrict) .*", r"\1 key", done.stdout)


def apply(url: str, text: str) -> None:
    """Apply a file as a runner may: statement by statement, in one transaction."""
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        for statement in scan(executable(text)):
            if statement.copy_data:
                cursor.copy_expert(statement.text, io.StringIO(text[slice(*statement.copy_data)]))
            else:
                cursor.execute(statement.text)
    connection.close()


@pytest.mark.since(17)  # the settings that the dump begins with
def test_a_dump_is_a_migration(database: str) -> None:
    """What pg_dump writes has no problems and makes the same database again."""
    apply(database, (CORPUS / "dumped.sql").read_text())
    dump = pg_dump(database)
    assert "\\restrict key\n" in dump
    assert dump.count("FROM stdin;") == 2
    assert problems(dump) == []
    with psycopg2.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("drop schema shop cascade")
    connection.close()
    apply(database, dump)
    assert pg_dump(database) == dump
