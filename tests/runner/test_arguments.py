"""The command line is read as it was meant, or refused with the word that was."""

import argparse

import pytest

from runner.arguments import Usage, parse
from runner.errors import ConfigurationError


@pytest.mark.parametrize(
    ("word", "command"),
    [("up", "migrate"), ("info", "status"), ("down", "rollback"), ("undo", "rollback")],
)
def test_what_other_tools_call_it_is_the_command(word: str, command: str) -> None:
    given = [word, "--steps", "1"] if command == "rollback" else [word]
    assert parse(given).command.name == command


def test_an_alias_is_the_command_in_an_invoke_too() -> None:
    asked = parse(["invoke", "--function", "f:live", "up", "--target", "3"])
    assert asked.options["command"] == "migrate"
    assert asked.options["options"] == {"target": "3"}


@pytest.mark.parametrize(
    ("words", "meant"),
    [(["migrat"], "migrate"), (["rolback"], "rollback"), (["migrate", "--dryrun"], "--dry-run")],
)
def test_an_unknown_word_is_told_what_was_meant(words: list[str], meant: str) -> None:
    with pytest.raises(Usage, match=f"did you mean {meant}"):
        parse(words)


def test_a_word_that_is_near_nothing_is_only_refused() -> None:
    with pytest.raises(Usage) as refused:
        parse(["xyzzy"])
    assert "did you mean" not in refused.value.message


def test_a_duration_without_a_unit_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="5 has no unit") as refused:
        parse(["migrate", "--lock-timeout", "5"])
    assert refused.value.fix == "5s or 5ms"


@pytest.mark.parametrize("given", ["9" * 5000, "9" * 5000 + "s", "²s", "-1s", "1.5s", "s"])
def test_what_is_no_duration_is_refused(given: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a duration"):
        parse(["migrate", f"--lock-timeout={given}"])


def test_no_limit_needs_no_unit() -> None:
    assert parse(["migrate", "--lock-timeout", "0"]).shared["lock_timeout"] == 0


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("runner ")


def test_the_short_help_leaves_out_what_is_rare(capsys: pytest.CaptureFixture[str]) -> None:
    shown = {}
    for flag in ("--help", "--help-all"):
        with pytest.raises(SystemExit):
            parse(["migrate", flag])
        shown[flag] = capsys.readouterr().out
    assert "--lock-attempts" not in shown["--help"]
    assert "--lock-attempts" in shown["--help-all"]
    assert "--target" in shown["--help"]


def test_no_word_at_all_shows_the_help_and_is_an_error() -> None:
    with pytest.raises(Usage, match="which command") as refused:
        parse([])
    assert "exit codes" in refused.value.usage


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_completes_rare_options_too(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--completion", shell])
    assert ended.value.code == 0
    assert "--lock-attempts" in capsys.readouterr().out


def test_a_line_makes_no_parsers_but_those_of_its_words(monkeypatch):
    made = []
    begin = argparse.ArgumentParser.__init__

    def count(self, *arguments, **settings):
        begin(self, *arguments, **settings)
        made.append(self.prog)

    monkeypatch.setattr(argparse.ArgumentParser, "__init__", count)
    parse(["invoke", "--function", "f", "status"])
    assert [prog.split()[-1] for prog in made] == ["runner", "invoke", "status"]
