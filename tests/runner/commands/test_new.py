"""`new` makes the files that come next in this folder, and opens them where that is asked for."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runner.commands.new import new
from runner.errors import ConfigurationError


def made(folder: Path, *there: str) -> str:
    """Return the version that `new` gives in a folder with files of these versions."""
    for version in there:
        (folder / f"V{version}__a.sql").write_text("select 1")
    up, down = (Path(path).name for path in new(folder, "Add Orders!", "r").document()["data"])
    assert (up[0], down[0], up[1:]) == ("V", "U", down[1:])
    return up[1:].removesuffix("__add_orders.sql")


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ([], "001"),
        (["009"], "010"),
        (["9", "3"], "010"),
        (["0099"], "0100"),
        (["1.2", "1.10"], "1.11"),
        (["2_07"], "2_08"),
        (["20269999"], "20270000"),  # no day, so no time
    ],
    ids=str,
)
def test_the_number_follows_the_folders(tmp_path: Path, there: list[str], expected: str) -> None:
    assert made(tmp_path, *there) == expected


@pytest.mark.parametrize("form", ["%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y%m%d"])
def test_after_a_time_comes_the_time_that_it_is(tmp_path: Path, form: str) -> None:
    before = f"{datetime.now(UTC):{form}}"
    found = made(tmp_path, f"{datetime.now(UTC) - timedelta(days=400):{form}}")
    assert before <= found <= f"{datetime.now(UTC):{form}}"


def test_after_a_time_that_is_still_to_come_comes_the_next(tmp_path: Path) -> None:
    assert made(tmp_path, "29990101000000") == "29990101000001"


def test_both_files_are_opened_in_the_editor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", "sh -c 'echo select 1 >> \"$1\"; exit 3' sh")
    document = new(tmp_path, "a", "r", edit=True).document()
    assert (tmp_path / "V001__a.sql").read_text().endswith("select 1\n")
    assert document["warnings"] == ["sh ended with 3"]


def test_without_an_editor_no_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    with pytest.raises(ConfigurationError, match="neither VISUAL nor EDITOR"):
        new(tmp_path, "a", "r", edit=True)
    assert list(tmp_path.iterdir()) == []
