"""A role's inputs are told once in its specification and once in its defaults: they agree."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = sorted((Path(__file__).parents[2] / "roles").iterdir())


def read(path: Path) -> dict[str, Any]:
    """Return a file's content; a missing file is empty."""
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


@pytest.mark.parametrize("role", ROLES, ids=lambda r: r.name)
def test_specified_defaults_are_the_defaults(role: Path) -> None:
    specs = read(role / "meta/argument_specs.yml")["argument_specs"]
    specified = {
        name: option["default"]
        for entry in specs.values()
        for name, option in entry["options"].items()
        if "default" in option
    }
    assert specified == read(role / "defaults/main.yml")


@pytest.mark.parametrize("role", ROLES, ids=lambda r: r.name)
def test_an_input_is_required_or_has_a_default(role: Path) -> None:
    specs = read(role / "meta/argument_specs.yml")["argument_specs"]
    for entry in specs.values():
        for name, option in entry["options"].items():
            assert option.get("required", False) != ("default" in option), name


@pytest.mark.parametrize("role", ROLES, ids=lambda r: r.name)
def test_each_entry_point_has_a_specification(role: Path) -> None:
    specs = read(role / "meta/argument_specs.yml")["argument_specs"]
    entries = {p.stem for p in (role / "tasks").glob("*.yml") if "_" not in p.stem}
    assert set(specs) == entries
