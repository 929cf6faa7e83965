"""A build installs what its step needs of the lock, and that suffices."""

import contextlib
import os
import re
import subprocess
import venv
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from local.codebuild.buildspec import parse
from local.codebuild.source import Source
from local.state import CLONE


def entries(lock: Path) -> dict[str, list[str]]:
    """Return the hashes of a lock's packages by name and version."""
    found = re.findall(
        r"^([^\s;]+==[^\s;]+)((?:.*\n)(?: +--hash.*\n)+)", lock.read_text(), re.MULTILINE
    )
    return {name: re.findall(r"sha256:\w+", rest) for name, rest in found}


@pytest.mark.parametrize("kind", ["check", "deploy", "invoke"])
def test_a_step_has_some_packages_of_the_lock_and_no_others(kind: str) -> None:
    whole, part = entries(CLONE / "requirements.lock"), entries(CLONE / f"locks/{kind}.txt")
    assert part.items() <= whole.items()
    assert len(part) < len(whole) / 4


class Step:
    """A build's source with an environment of its own."""

    def __init__(self, folder: Path, step: str) -> None:
        self.folder, self.name = folder, step
        kept = ("PATH", "HOME", "LANG", "SSL_CERT_FILE")
        self._environment = {name: os.environ[name] for name in kept if name in os.environ}
        # Nobody answers there.
        nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_REGION": "eu-central-1"}
        self._environment |= {"STEP": step, "AWS_EC2_METADATA_DISABLED": "true", **nowhere}
        self._environment |= parse((folder / "buildspec.yml").read_text()).variables

    def __call__(self, *command: str, **variables: str) -> tuple[int, str]:
        """Run a command; return its status and what it said."""
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment | variables, check=False,
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert not re.search("No module named|which is not installed", said), said
        return done.returncode, said


def install(folder: Path, lock: Path) -> None:
    """Make .venv as the lock says, by links to what the clone's own has: that takes no time."""
    venv.create(folder / ".venv", symlinks=True)
    (packages,) = (folder / ".venv/lib").glob("*/site-packages")
    names = {name.partition("==")[0] for name in entries(lock)} | {"schema-migrations"}
    for name in names:
        with contextlib.suppress(PackageNotFoundError):  # of another Python or machine
            for line in (distribution(name).read_text("RECORD") or "").splitlines():
                place(folder / ".venv", packages, Path(line.partition(",")[0]))
    (folder / ".venv/.ready").touch()


def place(environment: Path, packages: Path, path: Path) -> None:
    """Link what a distribution's file is in, and copy a program for the environment's Python."""
    if path.parts[0] != "..":
        if not (packages / path.parts[0]).exists():
            (packages / path.parts[0]).symlink_to(packages_of_clone() / path.parts[0])
    elif "bin" in path.parts:
        known, program = packages_of_clone() / path, environment / "bin" / path.name
        if known.read_bytes()[:2] == b"#!":
            _, _, code = known.read_text().partition("\n")
            program.write_text(f"#!{environment}/bin/python\n{code}")
            program.chmod(0o755)
        else:
            program.symlink_to(known)


@cache
def packages_of_clone() -> Path:
    return Path(str(distribution("boto3").locate_file("")))


@pytest.fixture
def step(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Step]:
    """Give the step that the test is about."""
    name, kind = request.param
    with Source.of_folder(CLONE).unpacked(tmp_path) as folder:
        (folder / ".venv").unlink(missing_ok=True)
        install(folder, folder / f"locks/{kind}.txt")
        yield Step(folder, name)


@pytest.mark.parametrize("step", [("check", "check")], ids=["check"], indirect=True)
def test_what_is_installed_for_a_check_suffices(step: Step) -> None:
    status, said = step("make", "pipeline-check", "pipeline-report")
    assert status == 0, said
    assert {path.name for path in (step.folder / "reports").iterdir()} > {"verify.html", "lint.xml"}


@pytest.mark.parametrize(
    "step", [("plan", "invoke"), ("migrate", "invoke")], ids=["plan", "migrate"], indirect=True
)
def test_what_is_installed_to_call_the_function_suffices(step: Step) -> None:
    """As far as the call, which nobody answers, and the report of what came of it."""
    arn = "arn:aws:lambda:eu-central-1:111122223333:function:f:live"
    variables = {"RUNNER_FUNCTION": arn, "INVOKE_ROLE_ARN": "arn", "RUN_ID": "r"}
    name = step.name
    status, said = step("make", f"pipeline-{name}", **variables, RUNNER_DATABASE="app")
    assert status != 0
    assert "credentials" in said.lower(), said
    status, said = step("make", "pipeline-report")
    assert status == 0, said
    reports = {path.name for path in (step.folder / "reports").iterdir()}
    assert {f"{name}.html", f"{name}.xml"} <= reports


@pytest.mark.parametrize("step", [("deploy", "deploy")], ids=["deploy"], indirect=True)
def test_what_is_installed_to_deploy_suffices(step: Step) -> None:
    """As far as the account, which nobody answers for; the report tells how far that was."""
    status, said = step("make", "pipeline-deploy", ENVIRONMENT="local")
    assert status != 0
    assert "TASK [preflight : " in said
    (report,) = (step.folder / "reports").glob("site-*.xml")
    assert "preflight" in report.read_text()
