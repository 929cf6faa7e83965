"""A build on this machine fails, goes on and reports as one in CodeBuild does."""

import json
import os
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest

from local.codebuild.buildspec import parse
from local.codebuild.credentials import CredentialsEndpoint
from local.codebuild.shell import Build
from local.errors import LocalError


@pytest.fixture
def build(tmp_path):
    """Run a buildspec's phases; return whether it succeeded, and what was said."""

    def run(text, **environment):
        said = []
        path = {"PATH": os.environ["PATH"]}
        outcome = Build(parse(text), tmp_path, path | environment, said.append).run()
        return outcome.succeeded, said

    return run


PHASES = """
version: 0.2
phases:
  install: { commands: ["echo install >> log", %s] }
  pre_build: { commands: ["echo pre_build >> log", %s] }
  build:
    commands: ["echo build >> log", %s, "echo after >> log"]
    finally: ["echo finally >> log"]
  post_build: { commands: ["echo post_build $CODEBUILD_BUILD_SUCCEEDING >> log", %s] }
"""


@pytest.mark.parametrize(
    ("failing", "expected"),
    [
        (None, "install pre_build build after finally post_build 1"),
        ("install", "install"),
        ("pre_build", "install pre_build"),
        ("build", "install pre_build build finally post_build 0"),
        ("post_build", "install pre_build build after finally post_build 1"),
    ],
)
def test_a_failing_phase_makes_the_build_red_and_decides_what_follows(
    build, tmp_path, failing, expected
):
    phases = ("install", "pre_build", "build", "post_build")
    commands = tuple("'false'" if phase == failing else "'true'" for phase in phases)
    succeeded, _ = build(PHASES % commands)
    assert succeeded == (failing is None)
    assert " ".join((tmp_path / "log").read_text().split()) == expected


def test_finally_runs_and_its_failure_counts(build, tmp_path):
    succeeded, _ = build(
        "{version: 0.2, phases: {build: {commands: ['true'], finally: ['echo x > f; false']}}}"
    )
    assert not succeeded
    assert (tmp_path / "f").exists()


def test_on_failure_abort_skips_post_build(build, tmp_path):
    succeeded, _ = build(
        "{version: 0.2, phases: {build: {commands: ['false'], on-failure: ABORT},"
        " post_build: {commands: ['touch ran']}}}"
    )
    assert not succeeded
    assert not (tmp_path / "ran").exists()


def test_on_failure_continue_goes_on_but_stays_red(build, tmp_path):
    succeeded, _ = build(
        "{version: 0.2, phases: {install: {commands: ['false'], on-failure: CONTINUE},"
        " build: {commands: ['touch ran']}}}"
    )
    assert not succeeded
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("command", ["exit 3", "exit 0", "kill -9 $$", "if", "false | true; exit"])
def test_a_command_that_ends_the_shell_is_a_failure(build, command):
    succeeded, said = build(f"{{version: 0.2, phases: {{build: {{commands: ['{command}']}}}}}}")
    assert not succeeded
    assert any("exit status" in line for line in said)


def test_commands_share_a_shell_and_read_nothing(build, tmp_path):
    succeeded, _ = build(
        "{version: 0.2, phases: {install: {commands: ['export WORD=kept', 'mkdir sub', 'cd sub']},"
        " build: {commands: ['cat', 'echo $WORD > here']}}}"
    )
    assert succeeded
    assert (tmp_path / "sub" / "here").read_text() == "kept\n"


def test_a_command_of_several_lines_with_quotes_is_one_command(build, tmp_path):
    succeeded, _ = build(
        "version: 0.2\nphases:\n  build:\n    commands:\n      - |\n"
        '        for word in \'a b\' "c"; do\n          echo "$word" >> words\n        done\n'
    )
    assert succeeded
    assert (tmp_path / "words").read_text() == "a b\nc\n"


def test_nothing_of_the_callers_environment_gets_in(build, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the caller's")
    succeeded, _ = build(
        "{version: 0.2, env: {variables: {MODE: spec, OWN: spec}},"
        " phases: {build: {commands: ['env > environment']}}}",
        MODE="action",
    )
    assert succeeded
    environment = (tmp_path / "environment").read_text().splitlines()
    assert not [line for line in environment if line.startswith("AWS_")]
    assert "MODE=action" in environment
    assert "OWN=spec" in environment


def test_what_the_buildspec_names_and_a_command_exported_leaves_the_build(tmp_path):
    text = (
        "{version: 0.2, env: {exported-variables: [DIGEST, HIDDEN, ABSENT, GIVEN]}, phases: {"
        " build: {commands: ['export DIGEST=early OTHER=x', 'HIDDEN=y']},"
        " post_build: {commands: ['export DIGEST=\"a b\"']}}}"
    )
    environment = {"PATH": os.environ["PATH"], "GIVEN": "by the action"}
    outcome = Build(parse(text), tmp_path, environment, lambda _: None).run()
    assert outcome.exported == {"DIGEST": "a b", "GIVEN": "by the action"}


REPORT = """
version: 0.2
phases: { build: { commands: ["%s"] } }
reports: { tests: { files: ["*.xml"], base-directory: reports } }
"""


def test_reports_of_this_build_are_counted_and_without_one_it_fails(build, tmp_path):
    (tmp_path / "reports").mkdir()
    old = tmp_path / "reports" / "old.xml"
    old.write_text("<testsuite><testcase/></testsuite>")
    os.utime(old, (1, 1))
    junit = "<testsuite><testcase/><testcase><failure/></testcase></testsuite>"
    succeeded, said = build(REPORT % f"echo '{junit}' > reports/new.xml")
    assert succeeded
    assert "report tests: 2 cases, 1 failed (new.xml)" in said
    succeeded, said = build(REPORT % "rm reports/new.xml")
    assert not succeeded
    assert "report tests: INCOMPLETE, there is no file" in said


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("version: 0.1", "version must be 0.2"),
        ("[]", "not a mapping"),
        ("{version: 0.2, phases: {biuld: {}}}", "not supported in phases: biuld"),
        ("{version: 0.2, batch: {}}", "not supported in the top: batch"),
        ("{version: 0.2, env: {secrets-manager: {A: b}}}", "not supported in env: secrets-manager"),
        ("{version: 0.2, phases: {build: {commands: make}}}", "build.commands must be a list"),
        ("{version: 0.2, phases: {build: {on-failure: no}}}", "on-failure is ABORT or CONTINUE"),
        ("version: [", "buildspec.yml: while parsing"),
    ],
)
def test_a_wrong_buildspec_is_refused_in_one_line(text, problem):
    with pytest.raises(LocalError, match=r"^buildspec\.yml: ") as refused:
        parse(text)
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)


def fetch(environment, token):
    request = urllib.request.Request(
        environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"], headers={"Authorization": token}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def test_credentials_need_the_token_and_are_renewed_before_they_end():
    lifetimes = iter([timedelta(minutes=5), timedelta(hours=1)])
    assumed = []

    def assume():
        assumed.append(f"key{len(assumed)}")
        return {
            "AccessKeyId": assumed[-1], "SecretAccessKey": "s", "SessionToken": "t",
            "Expiration": datetime.now(UTC) + next(lifetimes),
        }  # fmt: skip

    with CredentialsEndpoint(assume) as endpoint:
        token = endpoint.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
        with pytest.raises(urllib.error.HTTPError) as refused:
            fetch(endpoint.environment, "wrong")
        refused.value.close()
        assert refused.value.code == 403
        keys = [fetch(endpoint.environment, token)["AccessKeyId"] for _ in range(3)]
    assert keys == ["key0", "key1", "key1"]
