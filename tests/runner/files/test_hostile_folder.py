"""A folder is read as a whole or refused: nothing is passed over, nothing outside is read."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.errors import ConfigurationError
from runner.files.examine import examine
from runner.files.folder import read_folder

TEXT = "select 1;\n"


def _linked(folder: Path, name: str, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    target.write_text(TEXT)
    (folder / name).symlink_to(target)


def _linked_folder(folder: Path) -> None:
    (folder.parent / "team").mkdir()
    (folder.parent / "team" / "V2__b.sql").write_text(TEXT)
    (folder / "team").symlink_to(folder.parent / "team")


def _socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / "V2__b.sql"))


STRANGE: dict[str, Callable[[Path], object]] = {
    "link that leaves": lambda f: _linked(f, "V2__b.sql", f.parent / "out" / "V2__b.sql"),
    "link to a device": lambda f: (f / "V2__b.sql").symlink_to("/dev/zero"),
    "link to nothing": lambda f: (f / "V2__b.sql").symlink_to(f / "gone.sql"),
    "link to itself": lambda f: (f / "V2__b.sql").symlink_to(f / "V2__b.sql"),
    "linked folder": _linked_folder,
    "loop of folders": lambda f: (f / "loop").symlink_to(f),
    "fifo": lambda f: os.mkfifo(f / "V2__b.sql"),
    "socket": _socket,
    "folder of that name": lambda f: (f / "V2__b.sql").mkdir(),
    "other case of the ending": lambda f: (f / "V2__b.SQL").write_text(TEXT),
    "name that is not UTF-8": lambda f: (f / os.fsdecode(b"V2__\xff.sql")).touch(),
    "digits of another script": lambda f: (f / "V\u0663__b.sql").write_text(TEXT),
}  # fmt: skip


@pytest.mark.parametrize("strange", STRANGE)
def test_what_only_looks_like_a_migration_is_named_and_refused(
    tmp_path: Path, strange: str
) -> None:
    folder = tmp_path / "sql"
    folder.mkdir()
    (folder / "V1__a.sql").write_text(TEXT)
    STRANGE[strange](folder)
    with pytest.raises(ConfigurationError) as refused:
        read_folder(folder)
    assert len(refused.value.details) == 1
    refused.value.details[0].encode()  # every output takes it


def test_what_begins_with_a_dot_and_links_within_are_no_trouble(tmp_path: Path) -> None:
    (tmp_path / ".V2__b.sql").write_text(TEXT)
    (tmp_path / ".git").mkdir()
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "V1__a.sql").write_text(TEXT)
    (tmp_path / "V3__c.sql").symlink_to("V1__a.sql")
    assert [m.key for m in read_folder(tmp_path).versioned] == ["1", "3"]


@pytest.mark.parametrize(
    "separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"]
)
def test_directive_begins_only_where_a_line_does_for_the_server(
    tmp_path: Path, separator: str
) -> None:
    text = f"-- adds a table{separator}-- runner: no-transaction\ndrop table t;\n"
    (tmp_path / "V1__a.sql").write_text(text, newline="")
    (migration,) = read_folder(tmp_path).versioned
    assert not migration.directives.no_transaction


@pytest.mark.parametrize(
    "line",
    [
        "-- migrate:down", "-- +goose Down", "--  +goose down", "-- +migrate Down", "-- //@UNDO",
        "-- migrate:down transaction:false",
    ],
)  # fmt: skip
def test_file_that_holds_both_ways_of_another_tool_is_refused(tmp_path: Path, line: str) -> None:
    text = f"-- up\ncreate table t (n int);\n{line}\ndrop table t;\n"
    (tmp_path / "V1__a.sql").write_text(text)
    (migration,) = read_folder(tmp_path).versioned
    (problem,) = examine(migration, text).problems
    assert text[problem.offset :].startswith(line)


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("-- runner: no-transaction\nset lock_timeout = '5s';\nselect 1", True),
        ("-- runner: no-transaction\nset session statement_timeout to 0;\nselect 1", True),
        ("-- runner: no-transaction\nset search_path = app;\nselect 1", False),
        ("set lock_timeout = '5s';\nselect 1", False),
    ],
)
def test_limit_that_would_have_no_effect_is_refused(
    tmp_path: Path, text: str, refused: bool
) -> None:
    (tmp_path / "V1__a.sql").write_text(text)
    (migration,) = read_folder(tmp_path).versioned
    assert bool(examine(migration, text).problems) == refused


def test_an_undo_file_whose_migration_cannot_be_read_is_not_said_to_lack_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "V1__a.sql").write_bytes(b"select '\xe9';\n")
    (tmp_path / "U1__a.sql").write_text("select 1;\n")
    with pytest.raises(ConfigurationError) as raised:
        read_folder(tmp_path)
    (problem,) = raised.value.details
    assert "V1__a.sql: not UTF-8" in problem


def test_a_file_without_a_transaction_has_a_bound_for_its_journal(tmp_path: Path) -> None:
    for number, count in enumerate((1_000, 1_001), 1):
        text = "-- runner: no-transaction\n" + "insert into t values (1);\n" * count
        (tmp_path / f"V{number}__a.sql").write_text(text)
    fits, over = (examine(found, found.text()) for found in read_folder(tmp_path).versioned)
    assert not fits.problems
    assert "1,000 statements" in over.problems[0].message
