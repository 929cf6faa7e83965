"""A large file is cut as a small one is, with little of it in memory."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runner.errors import ConfigurationError
from runner.files import pieces
from runner.files.folder import read_folder
from runner.files.pieces import is_large, near, pieces_of_large, problems_in
from runner.syntax.scanner import scan
from runner.syntax.statements import executable, position, problems

CORPUS = Path(__file__).parents[1] / "syntax" / "corpus"
# What a window's end may cut in two.
FRAGMENTS = (
    "select 1",
    ";",
    "\n",
    "\r\n",
    " ",
    "'it''s; \n'",
    "E'\\';'",
    '"a;b"',
    "$$ ; $$",
    "$x$ $$ ; $x$",
    "-- a remark; \n",
    "/* ; /* ; */ */",
    "insert into t values (1, 'x');",
    "INSERT INTO t SELECT (1)",
    "create function f() returns int begin atomic select 1; select 2; end",
    "ü",
    "\\restrict key\n",
    "copy t from stdin;\n1\ta\n\\.x\n2\tb\n\\.\n",
    "copy t from stdin /* ; */ ; -- x\r\n\\.\r\n",
    "commit;",
    "-- runner: no-transaction\n",
    "\\i x\n",
    "(",
    ")",
    "select set_config('a', 'b', true);",
)


def statements(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield each statement of a large file with its place and its data."""
    (migration,) = read_folder(path.parent).versioned
    for piece in pieces_of_large(migration):
        if piece.rows is None:
            for found in scan(piece.sql):
                data = found.source[slice(*found.copy_data)] if found.copy_data else ""
                yield piece.start + found.start, found.text, data
        else:
            (found,) = scan(piece.sql + " ;\n\\.\n")
            yield piece.start + found.start, found.text, "".join(piece.rows)


def expected(text: str) -> list[tuple[int, str, str]]:
    """Return the statements of a whole text in the same way."""
    return [
        (found.start, found.text, text[slice(*found.copy_data)] if found.copy_data else "")
        for found in scan(executable(text, transactional=False))
    ]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a migration's path, where files are read in windows of a few characters."""
    monkeypatch.setattr(pieces, "_LARGE", -1)
    monkeypatch.setattr(pieces, "_NEAR", 40)
    cut_at(monkeypatch, 64)
    return tmp_path / "V1__t.sql"


def cut_at(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(pieces, "_WINDOW", count)
    monkeypatch.setattr(pieces, "_READ", max(1, count // 2))


@pytest.mark.parametrize("count", [1, 7, 300])
@pytest.mark.parametrize("name", ["dumped.sql", "crlf.sql"])
def test_a_file_read_in_parts_has_the_statements_of_the_whole(
    name: str, count: int, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (CORPUS / name).read_bytes().decode()
    assert problems(text) == []
    cut_at(monkeypatch, count)
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert [*statements(file)] == expected(text)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    text=st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join), count=st.integers(1, 90)
)
@example(
    text="insert into t values (1, 'x');" + 2 * "-- runner: no-transaction\n" + "select 1",
    count=1,
)
def test_what_is_right_as_a_whole_is_the_same_in_parts_and_what_is_wrong_is_refused(
    text: str, count: int, file: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        file.write_bytes(text.encode())
        try:
            (migration,) = read_folder(file.parent).versioned
        except ConfigurationError:
            return  # a directive that is wrong is told by the folder
        if migration.directives.no_transaction:
            return
        patch.setattr(pieces, "_LARGE", 1 << 30)
        whole = problems_in(migration)
        patch.setattr(pieces, "_LARGE", -1)
        cut_at(patch, count)
        in_parts = problems_in(migration)
        assert bool(in_parts) == bool(whole), (whole, in_parts)
        assert set(in_parts) <= set(whole)
        if not whole:
            assert [*statements(file)] == expected(text)


def test_a_part_is_no_longer_than_its_longest_statement_asks_for(file: Path) -> None:
    rows = [f"insert into t values ({number});\n" for number in range(500)]
    file.write_text("".join(rows) + "copy t from stdin;\n" + "1\n" * 2_000 + "\\.\n")
    (migration,) = read_folder(file.parent).versioned
    longest = 0
    for piece in pieces_of_large(migration):
        longest = max(longest, len(piece.sql), *map(len, piece.rows or [""]))
    assert longest <= 2 * 64


def test_a_file_that_changes_while_it_is_read_is_refused_at_its_end(file: Path) -> None:
    file.write_text("select 1;\n" * 50)
    (migration,) = read_folder(file.parent).versioned
    found = pieces_of_large(migration)
    next(found)
    with file.open("a") as more:
        more.write("select 2;\n")
    with pytest.raises(ConfigurationError, match="was changed while the runner was reading"):
        list(found)


def test_a_file_that_never_ends_is_refused_where_it_had_ended(file: Path) -> None:
    file.write_text("select 1;\n" * 50)
    (migration,) = read_folder(file.parent).versioned

    def grow() -> None:
        for _ in pieces_of_large(migration):
            with file.open("a") as more:
                more.write("select 2;\n" * 20)

    with pytest.raises(ConfigurationError, match="was changed while the runner was reading"):
        grow()


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_place_in_a_large_file_has_the_line_and_column_of_the_whole(
    ends: str, file: Path
) -> None:
    draw = random.Random(7)
    text = "".join("é" * draw.randrange(90) + ends for _ in range(60))
    file.write_bytes(text.encode())
    (migration,) = read_folder(file.parent).versioned
    places = range(0, len(text), 3)
    found = [near(migration, offset).position() for offset in places]
    assert found == [position(text, offset) for offset in places]


def test_a_file_that_goes_while_the_runner_works_is_told_as_gone(file: Path) -> None:
    file.write_text("select 1;\n" * 50)
    (migration,) = read_folder(file.parent).versioned
    file.unlink()
    for read in (is_large, problems_in, lambda found: near(found, 1)):
        with pytest.raises(ConfigurationError, match="cannot be read any more"):
            read(migration)
