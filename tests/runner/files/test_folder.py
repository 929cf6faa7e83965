"""Reading a folder: every problem at once, before anything is connected to."""

import unicodedata
from pathlib import Path

import pytest

from runner.errors import ConfigurationError
from runner.files.directives import Directives, milliseconds
from runner.files.folder import Folder, canonical, parse_version, read_folder


def read(folder: Path, files: dict[str, str | bytes]) -> Folder:
    """Write files into the folder and read it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_folder(folder)


def problems(folder: Path, files: dict[str, str | bytes]) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        read(folder, files)
    assert raised.value.exit_code == 2
    return list(raised.value.details)


def checksum(folder: Path, text: str | bytes) -> str:
    return read(folder, {"V1__a.sql": text}).versioned[0].checksum


@pytest.mark.parametrize(
    ("one", "other"),
    [("V003", "3"), ("1.2", "01.02"), ("1.2.0", "1.2"), ("1_2", "1.2"), ("0", "000")],
)
def test_versions_that_are_the_same(one: str, other: str) -> None:
    assert parse_version(one) == parse_version(other)


def test_versions_are_ordered_as_numbers() -> None:
    texts = ["10", "9", "1.10", "1.9", "2", "1"]
    ordered = sorted(map(parse_version, texts))
    assert [canonical(version) for version in ordered] == ["1", "1.9", "1.10", "2", "9", "10"]


@pytest.mark.parametrize("text", ["", "x", "1.", ".1", "1..2", "-1", "1a", "V"])
def test_text_that_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_version(text)


def test_reads_subfolders_and_leaves_other_files_alone(tmp_path: Path) -> None:
    folder = read(
        tmp_path,
        {
            "2026/V2__b.sql": "",
            "V1__a.sql": "",
            "2026/U2__b.sql": "",
            "R__r.sql": "",
            "README.md": "",
            ".git/V9__x.sql": "",
        },
    )
    assert [migration.name for migration in folder.versioned] == ["V1__a.sql", "2026/V2__b.sql"]
    assert list(folder.undo) == ["2"]
    assert [migration.key for migration in folder.repeatable] == ["R__r"]


@pytest.mark.parametrize(
    "name",
    ["V1_a.sql", "V__a.sql", "v1__a.sql", "1__a.sql", "V1__.sql", "V1a__b.sql", "R_a.sql", "x.sql"],
)
def test_malformed_name_is_refused(tmp_path: Path, name: str) -> None:
    (line,) = problems(tmp_path, {name: ""})
    assert name in line
    assert "malformed name" in line


def test_every_problem_is_listed_at_once(tmp_path: Path) -> None:
    lines = problems(
        tmp_path,
        {
            "V1__a.sql": "",
            "V001__b.sql": "",
            "U7__c.sql": "",
            "nonsense.sql": "",
            "V2__d.sql": "-- runner: nonsense\n",
            "V3__e.sql": b"select '\xff'",
            "V4__f.sql": b"select 1;\0",
        },
    )
    assert len(lines) == 6


@pytest.mark.parametrize("name", ["R__été.sql", "V1__été.sql"])
def test_two_files_whose_names_are_the_same_to_a_reader_are_refused(
    tmp_path: Path, name: str
) -> None:
    for form in ("NFC", "NFD"):
        (tmp_path / unicodedata.normalize(form, name)).write_text("select 1")
    with pytest.raises(ConfigurationError) as raised:
        read_folder(tmp_path)
    (problem,) = raised.value.details
    assert problem.endswith("in another form of Unicode")


def test_folder_is_the_same_in_either_form_of_its_names(tmp_path: Path) -> None:
    found = []
    for form in ("NFC", "NFD"):
        (tmp_path / form).mkdir()
        for name in ("R__été.sql", "V1__naïve.sql"):
            (tmp_path / form / unicodedata.normalize(form, name)).write_text("select 1")
        folder = read_folder(tmp_path / form)
        found.append((folder.digest(), set(folder.by_key()), folder.versioned[0].description))
    assert found[0] == found[1]


def test_undo_of_an_irreversible_migration_is_refused(tmp_path: Path) -> None:
    (line,) = problems(
        tmp_path, {"V1__a.sql": "-- runner: irreversible: data is gone\n", "U1__a.sql": ""}
    )
    assert "irreversible" in line


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"abc\xff", "byte 0xff at offset 3"),
        (b"ab\0c", "NUL character at offset 2"),
        (b"\xff\xfes\0", "offset 0"),
        ("é".encode()[:1], "cut off"),
    ],
    ids=["latin-1", "nul", "utf-16", "cut"],
)
def test_bytes_that_are_not_text_are_refused_with_their_place(
    tmp_path: Path, data: bytes, said: str
) -> None:
    (line,) = problems(tmp_path, {"V1__a.sql": data})
    assert said in line


def test_place_of_a_bad_byte_beyond_the_first_piece(tmp_path: Path) -> None:
    data = b"-" * (1 << 20) + b"\xff"
    assert "at offset 1048576" in problems(tmp_path, {"V1__a.sql": data})[0]


def test_checksum_is_the_same_with_bom_and_any_line_ends(tmp_path: Path) -> None:
    texts = ["a\nb\n", "a\r\nb\r\n", "a\rb\r", "\ufeffa\nb\n"]
    assert len({checksum(tmp_path, text) for text in texts}) == 1
    assert checksum(tmp_path, "a\nb") != checksum(tmp_path, "a\nb\n")


def test_checksum_does_not_depend_on_where_the_pieces_end(tmp_path: Path) -> None:
    """A CRLF lies across the first two pieces that are read."""
    line = "-" * ((1 << 20) - 1)
    assert checksum(tmp_path, f"{line}\r\nx") == checksum(tmp_path, f"{line}\nx")


def test_checksum_names_its_algorithm(tmp_path: Path) -> None:
    assert checksum(tmp_path, "").startswith("sha256:e3b0c44298fc1c14")


def test_directives_are_read_from_the_top(tmp_path: Path) -> None:
    text = (
        "-- why this is\n\n-- runner: no-transaction, lock_timeout=5s\n"
        "-- runner: statement_timeout=10min out-of-order\n"
        "-- runner: irreversible: the data is dropped, see ADR 7\nselect 1;\n"
    )
    found = read(tmp_path, {"V1__a.sql": text}).versioned[0].directives
    assert found == Directives(
        no_transaction=True,
        out_of_order=True,
        lock_timeout=5_000,
        statement_timeout=600_000,
        irreversible="the data is dropped, see ADR 7",
    )


def test_a_directive_is_one_however_the_runner_is_written(tmp_path: Path) -> None:
    found = read(tmp_path, {"V1__a.sql": "-- Runner: no-transaction\nselect 1;\n"})
    assert found.versioned[0].directives.no_transaction


def test_waivers_are_kept_with_their_reasons(tmp_path: Path) -> None:
    text = "-- runner: allow a-rule: why: so\n-- runner: no-transaction\n-- runner: allow b: x\n"
    found = read(tmp_path, {"V1__a.sql": text}).versioned[0].directives
    assert found == Directives(no_transaction=True, allow=(("a-rule", "why: so"), ("b", "x")))


def test_more_waivers_than_there_are_rules_are_refused(tmp_path: Path) -> None:
    lines = "".join(f"-- runner: allow r{number}: x\n" for number in range(201))
    (tmp_path / "V1__a.sql").write_text(f"{lines}select 1")
    with pytest.raises(ConfigurationError) as raised:
        read_folder(tmp_path)
    assert "201 rules are allowed" in raised.value.details[0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-- runner: fast", "unknown directive 'fast'"),
        ("-- runner:", "unknown directive ''"),
        ("-- runner: lock_timeout=soon", "not a duration"),
        ("-- runner: lock_timeout", "unknown directive"),
        ("-- runner: irreversible", "needs a reason"),
        ("-- runner: out-of-order out-of-order", "given twice"),
        ("-- runner: allow", "one rule and a reason"),
        ("-- runner: allow ban-drop-table", "one rule and a reason"),
        ("-- runner: allow ban-drop-table:", "one rule and a reason"),
        ("-- runner: allow a b: because", "one rule and a reason"),
        ("-- runner: allow: because", "one rule and a reason"),
        ("-- runner: allow a: b\n-- runner: allow a: c", "given twice"),
    ],
)
def test_wrong_directive_is_refused(tmp_path: Path, line: str, said: str) -> None:
    assert said in problems(tmp_path, {"V1__a.sql": line + "\nselect 1;\n"})[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5", 5), ("5ms", 5), ("2s", 2000), ("10min", 600_000), ("1h", 3_600_000), ("1500us", 2)],
)
def test_durations_are_postgresqls(text: str, expected: int) -> None:
    assert milliseconds(text) == expected


def test_missing_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read_folder(tmp_path / "none")
    assert "runner new" in str(raised.value.fix)


def test_folder_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.scandir", refuse)
    assert problems(tmp_path, {}) == [f"{tmp_path}: cannot be read: Permission denied"]


def test_directive_far_below_the_first_comment_is_seen(tmp_path: Path) -> None:
    """The comments at the top may be many, and are read as lines whatever ends them."""
    top = "".join(
        f"  -- line {number}{end}" for number, end in enumerate(["\n", "\r\n", "\r"] * 99)
    )
    folder = read(tmp_path, {"V1__a.sql": f"{top}\n-- runner: out-of-order\nselect 1;\n"})
    assert folder.versioned[0].directives.out_of_order
