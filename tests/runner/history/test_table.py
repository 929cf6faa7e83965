"""Whoever asks something of the history asks this room."""

from pathlib import Path

import runner
from runner.history import table

SOURCES = Path(runner.__file__).parent


def test_no_other_room_names_the_historys_table() -> None:
    naming = {
        str(p.relative_to(SOURCES)) for p in SOURCES.rglob("*.py") if table.TABLE in p.read_text()
    }
    assert {path for path in naming if not path.startswith("history/")} == set()
