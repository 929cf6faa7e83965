"""A build gets its source as CodePipeline hands it out: no modes, no links, no git."""

import os
import stat
import subprocess

import pytest

from local.codebuild import source
from local.codebuild.buildspec import parse
from local.codebuild.source import Source
from local.errors import LocalError
from local.state import CLONE


@pytest.fixture
def repository(tmp_path):
    """A repository with a program, a link and a file that git ignores."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    (folder / "link").symlink_to("run")
    (folder / ".gitignore").write_text("ignored\n")
    (folder / "ignored").write_text("x")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "First"]):
        subprocess.run([*git, *arguments], cwd=folder, check=True)
    (folder / "new").write_text("y")
    return folder


def test_a_commit_arrives_without_modes_links_and_git(repository, tmp_path):
    with Source.of_commit(repository).unpacked(tmp_path) as folder:
        assert {path.name for path in folder.iterdir()} == {"run", "link", ".gitignore"}
        assert not stat.S_IMODE((folder / "run").stat().st_mode) & 0o111
        assert (folder / "link").read_text() == "run"
        assert not (folder / "link").is_symlink()
    assert not folder.exists()


def test_a_folder_is_taken_as_a_commit_of_it_would_be(repository, tmp_path):
    with Source.of_folder(repository).unpacked(tmp_path) as folder:
        names = {path.name for path in folder.iterdir()}
        assert names == {"run", "link", ".gitignore", "new"}
        assert not (folder / "link").is_symlink()


@pytest.mark.parametrize(("newest", "lent"), [(".venv/.ready", True), ("requirements.lock", False)])
def test_an_environment_is_lent_unless_a_build_would_make_it_anew(
    tmp_path, monkeypatch, newest, lent
):
    clone = tmp_path / "clone"
    for number, name in enumerate(("requirements.lock", "pyproject.toml", ".venv/.ready")):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).touch()
        os.utime(clone / name, (number, number))
    os.utime(clone / newest, (9, 9))
    monkeypatch.setattr(source, "CLONE", clone)
    with Source.of_folder(clone).unpacked(tmp_path) as folder:
        assert (folder / ".venv").is_symlink() == lent


def test_a_commit_that_is_not_there_is_refused(repository):
    with pytest.raises(LocalError, match="nowhere"):
        Source.of_commit(repository, "nowhere")


def test_the_first_program_of_a_build_needs_no_mode(tmp_path):
    with Source.of_folder(CLONE).unpacked(tmp_path) as folder:
        (folder / ".venv").unlink(missing_ok=True)
        wanted = subprocess.run(
            ["make", "-n", "setup"], cwd=folder, capture_output=True, text=True, check=True
        ).stdout
        assert "sh ./find-python" in wanted
        found = subprocess.run(
            ["sh", "./find-python"], cwd=folder, capture_output=True, text=True, check=True
        ).stdout
        assert "python" in found


def test_ansible_runs_in_a_folder_that_everybody_may_write_to(tmp_path):
    """And in an image that asks for no UTF-8."""
    command = f"{CLONE}/.venv/bin/ansible-config dump --only-changed"
    with Source.of_folder(CLONE).unpacked(tmp_path) as folder:
        folder.chmod(0o777)
        spec = parse((folder / "buildspec.yml").read_text())
        done = subprocess.run(
            command.split(),
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C"} | spec.variables,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert f"CONFIG_FILE() = {folder}/ansible.cfg" in done.stdout
