"""An option is what the command line says, else the environment, the file, its default."""

from collections import Counter
from pathlib import Path

import pytest

from runner.arguments import Arguments, parse
from runner.errors import ConfigurationError
from runner.settings import every

PREFIX = "SCHEMA_MIGRATIONS_"


def asked(
    folder: Path, *words: str, environ: dict[str, str] | None = None, file: str | None = None
) -> Arguments:
    """Read a command line where a settings file and an environment stand for what it lacks."""
    if file is not None:
        (folder / "runner.toml").write_text(file)
    return parse(words, {PREFIX + name: text for name, text in (environ or {}).items()}, folder)


@pytest.mark.parametrize(
    ("words", "environ", "file", "value"),
    [
        ([], {}, "", 2_000),
        ([], {}, "lock-timeout = '3s'", 3_000),
        ([], {"LOCK_TIMEOUT": "4s"}, "lock-timeout = '3s'", 4_000),
        (["--lock-timeout", "5s"], {"LOCK_TIMEOUT": "4s"}, "lock-timeout = '3s'", 5_000),
        ([], {"LOCK_TIMEOUT": ""}, "lock-timeout = '3s'", 3_000),
    ],
    ids=["default", "file", "environment", "option", "empty variable"],
)
def test_the_nearest_word_counts(
    tmp_path: Path, words: list[str], environ: dict[str, str], file: str, value: int
) -> None:
    found = asked(tmp_path, "migrate", *words, environ=environ, file=file)
    assert found.shared["lock_timeout"] == value


def test_a_commands_own_option_is_set_for_it_alone(tmp_path: Path) -> None:
    file = "[migrate]\non-drift = 'fail'\nallow-ahead = true\n"
    assert asked(tmp_path, "migrate", file=file).options == {
        "on_drift": "fail",
        "allow_ahead": True,
    }
    assert asked(tmp_path, "plan").options == {}
    off = asked(tmp_path, "migrate", environ={"MIGRATE_ALLOW_AHEAD": "false"})
    assert off.options == {"on_drift": "fail"}


def test_a_command_of_an_invoke_has_its_settings(tmp_path: Path) -> None:
    environ = {"INVOKE_FUNCTION": "f:live"}
    found = asked(tmp_path, "invoke", "up", environ=environ, file="migrate.on-drift = 'fail'")
    assert found.options["function"] == "f:live"
    assert found.options["options"] == {"on_drift": "fail"}


def test_what_excludes_a_setting_leaves_it_no_room(tmp_path: Path) -> None:
    found = asked(tmp_path, "rollback", "--to", "3", environ={"ROLLBACK_STEPS": "1"})
    assert set(found.options) == {"to"}


def test_settings_may_stand_in_the_projects_file(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.schema-migrations]\nconnect-wait = 3\n")
    assert asked(tmp_path, "migrate").shared["connect_wait"] == 3.0
    with pytest.raises(ConfigurationError, match="both have settings"):
        asked(tmp_path, "migrate", file="json = true")


@pytest.mark.parametrize(
    ("environ", "file", "said"),
    [
        ({"LOK_TIMEOUT": "1s"}, "", r"did you mean SCHEMA_MIGRATIONS_LOCK_TIMEOUT\?"),
        ({"LOCK_TIMEOUT": "5"}, "", "SCHEMA_MIGRATIONS_LOCK_TIMEOUT: 5 has no unit"),
        ({"JSON": "yes"}, "", "SCHEMA_MIGRATIONS_JSON is true or false, not 'yes'"),
        ({"ROLLBACK_STEPS": "x"}, "", "ROLLBACK_STEPS is a whole number, not 'x'"),
        ({}, "lock_timeout = '1s'", "runner.toml: lock_timeout is no setting; did you mean lock-t"),
        ({}, "lock-attempts = '3'", "runner.toml: lock-attempts is a whole number, not '3'"),
        ({}, "lock-attempts = 0", "runner.toml: lock-attempts: 0 is no number from 1"),
        ({}, "migrate.on-drift = 'x'", "migrate.on-drift is one of: warn, fail, ignore"),
        ({}, "rollback.steps = 1", "runner.toml: rollback.steps belongs to one call"),
        ({}, "json = ", "runner.toml is not TOML: "),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(
    tmp_path: Path, environ: dict[str, str], file: str, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        asked(tmp_path, "validate", environ=environ, file=file)


def test_every_variable_and_every_key_is_one_options() -> None:
    names = Counter(name for each in every() for name in (each.variable, each.key))
    assert [name for name, times in names.items() if times > 1] == []
