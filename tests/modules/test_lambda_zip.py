"""The Lambda's package: the right contents, the same bytes, importable."""

import base64
import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.modules import harness
from tests.modules.harness import Outcome

ROOT = Path(__file__).parents[2]
SPEC: dict[str, Any] = {
    "folders": ["runner", "sql"],
    "files": {"ca-bundle.pem": str(ROOT / "roles/runner/files/rds-ca-bundle.pem")},
    "requirements": ["psycopg2-binary"],
    "lock": str(ROOT / "requirements.lock"),
    "cache": str(ROOT / ".cache/lambda"),
    "python": "native",
    "architecture": "native",
}
BUNDLE = yaml.safe_load((ROOT / "roles/runner/defaults/main.yml").read_text())[
    "runner_ca_bundle_sha256"
]
Build = Callable[..., Outcome]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Run the module on a copy of the project."""
    source = tmp_path / "project"
    for folder in SPEC["folders"]:
        shutil.copytree(ROOT / folder, source / folder)

    def run(dest: str = "runner.zip", *, check: bool = False, **changed: Any) -> Outcome:
        arguments = {**SPEC, "source": str(source), "dest": str(tmp_path / dest), **changed}
        environment = {"UV_CACHE_DIR": str(ROOT / ".cache/uv")}
        return harness.run("lambda_zip", environment, check=check, **arguments)

    return run


def test_same_contents_give_the_same_bytes(build: Build, tmp_path: Path) -> None:
    first = build("first.zip")
    for path in (tmp_path / "project").rglob("*.py"):
        path.touch()
    (tmp_path / "project/runner/__pycache__").mkdir(exist_ok=True)
    (tmp_path / "project/runner/__pycache__/x.pyc").write_bytes(b"x")
    second = build("second.zip")
    assert first["sha256"] == second["sha256"]
    assert Path(first["path"]).read_bytes() == Path(second["path"]).read_bytes()


def test_the_hash_is_what_lambda_tells(build: Build) -> None:
    built = build()
    content = Path(built["path"]).read_bytes()
    assert built["sha256"] == base64.b64encode(hashlib.sha256(content).digest()).decode()


def test_building_again_changes_nothing(build: Build) -> None:
    assert build().changed
    assert not build().changed


def test_a_new_migration_changes_the_package(build: Build, tmp_path: Path) -> None:
    before = build()
    (tmp_path / "project/sql/V999__more.sql").write_text("select 1;\n")
    assert build()["sha256"] != before["sha256"]


def test_check_mode_writes_nothing(build: Build) -> None:
    built = build(check=True)
    assert built.changed
    assert not Path(built["path"]).exists()


def test_contents_are_the_contract(build: Build) -> None:
    built = build()
    names = zipfile.ZipFile(built["path"]).namelist()
    tops = {name.partition("/")[0] for name in names}
    wheels = {top for top in tops if top.startswith("psycopg2")}
    assert tops - wheels == {"runner", "sql", "ca-bundle.pem"}
    assert "psycopg2" in wheels
    assert not any("__pycache__" in name for name in names)


def test_what_is_left_out_is_left_out_and_the_handler_does_without(
    build: Build, tmp_path: Path
) -> None:
    left_out = ["runner/embedded", "runner/foreign", "runner/lint"]
    built = build(source=str(ROOT), exclude=left_out)
    package = zipfile.ZipFile(built["path"])
    assert not any(n.startswith(tuple(left_out)) for n in package.namelist())
    package.extractall(tmp_path / "task")
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'task')!r}); import runner.handler"
    base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    done = subprocess.run([base, "-I", "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("architecture", "machine"), [("arm64", 0xB7), ("x86_64", 0x3E)])
def test_wheels_are_the_lambdas_not_this_machines(
    build: Build, architecture: str, machine: int
) -> None:
    built = build(python="3.13", architecture=architecture)
    package = zipfile.ZipFile(built["path"])
    (extension,) = [n for n in package.namelist() if n.startswith("psycopg2/_psycopg")]
    assert built["runtime"] == "python3.13"
    assert "cpython-313" in extension
    # The ELF header's e_machine.
    assert package.read(extension)[18] == machine


def test_the_package_of_this_platform_can_be_imported(build: Build, tmp_path: Path) -> None:
    unpacked = tmp_path / "task"
    zipfile.ZipFile(build()["path"]).extractall(unpacked)
    code = f"import sys; sys.path.insert(0, {str(unpacked)!r}); import psycopg2, runner"
    code += f"; assert psycopg2.__file__.startswith({str(unpacked)!r})"
    base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    done = subprocess.run([base, "-I", "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"folders": ["nowhere"]}, "does not exist."),
        ({"requirements": ["leftpad"]}, "does not pin leftpad. Run `make lock`."),
        ({"files": {"ca-bundle.pem": "/nowhere.pem"}}, "The file /nowhere.pem"),
        ({"checksums": {"ca.pem": "0" * 64}}, "There is no ca.pem in the package"),
    ],
    ids=["folder", "requirement", "file", "checksum"],
)
def test_what_is_missing_is_named(build: Build, changed: dict[str, Any], line: str) -> None:
    assert line in build(**changed).message


def test_a_file_with_another_checksum_is_refused(build: Build, tmp_path: Path) -> None:
    built = build(checksums={"ca-bundle.pem": "0" * 64})
    assert f"for ca-bundle.pem in the package, has the SHA-256 {BUNDLE}, not 000" in built.message
    assert not (tmp_path / "runner.zip").exists()


def test_the_bundle_has_the_checksum_that_the_role_pins(build: Build) -> None:
    assert build(checksums={"ca-bundle.pem": BUNDLE}).changed
