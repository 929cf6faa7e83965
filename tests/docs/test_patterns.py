"""The files of the page of safe patterns are what it says of them: safe, and undone exactly."""

import json
import re
from pathlib import Path

import pytest

from runner.cli import main

ROOT = Path(__file__).parents[2]


def test_every_pattern_is_fine_to_lint_and_to_undo(
    tmp_path: Path, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs/guides/safe-patterns.md").read_text()
    blocks = re.findall(r"^```sql\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    for block in blocks:
        name, text = re.fullmatch(r"-- (\S+\.sql)\n(.*)", block, re.DOTALL).groups()  # type: ignore[union-attr]
        (tmp_path / name).write_text(text)
    files = ["--json", "--sql-dir", str(tmp_path)]
    assert main([*files, "lint"]) == 0, capsys.readouterr().out
    capsys.readouterr()
    main([*files, "--database-url", database, "verify"])
    document = json.loads(capsys.readouterr().out)
    assert document["error"] is None
    assert len(document["data"]["migrations"]) > 10
