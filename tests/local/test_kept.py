"""What a run of a playbook makes is made once, and never of other sources than there are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.ansible import startup
from local.ansible.callback import kept


@pytest.fixture
def play(tmp_path):
    """Run a playbook of one task on this machine, keeping what it makes in `kept`."""
    playbook = tmp_path / "play.yml"
    program = Path(sys.executable).with_name("ansible-playbook")

    def play(task, **variables):
        host = {"hosts": "localhost", "gather_facts": False}
        playbook.write_text(json.dumps([{**host, "vars": variables, "tasks": [task]}]))
        home = {"HOME": str(tmp_path), "ANSIBLE_HOME": str(tmp_path / "ansible")}
        subprocess.run(
            [program, playbook, "-i", "localhost,", "-c", "local"], cwd=tmp_path,
            env=os.environ | startup(tmp_path / "kept", Path(sys.executable)) | home, check=True,
            capture_output=True,
        )  # fmt: skip

    return play


@pytest.fixture
def run(play, tmp_path):
    """Run a module, and return the files that were kept of it."""

    def run():
        play({"ansible.builtin.ping": None})
        found = (tmp_path / "kept").glob("*/modules-*/*")
        return sorted(file for file in found if file.suffix != ".lock")

    return run


@pytest.fixture
def said(play, tmp_path):
    """Write what a template gives to a file, and return that."""
    written = tmp_path / "written"

    def said(template, **variables):
        play({"ansible.builtin.copy": {"content": template, "dest": str(written)}}, **variables)
        return written.read_text()

    return said


def test_a_module_is_built_once(run):
    (first,) = run()
    before = first.stat()
    assert run() == [first]
    after = first.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_another_source_is_another_folder(tmp_path):
    module = tmp_path / "plugins/modules/permissions.py"
    module.parent.mkdir(parents=True)
    digests = set()
    for content in ("one", "another", "one"):
        module.write_text(content)
        digests.add(kept._digest([str(tmp_path)]))
    assert len(digests) == 2


def templates(tmp_path):
    return {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").glob("*/templates-*/*")}


def test_a_template_is_compiled_once_and_gives_what_its_variables_are_now(said, tmp_path):
    assert said("{{ word | upper }}!", word="one") == "ONE!"
    first = templates(tmp_path)
    assert first
    assert said("{{ word | upper }}!", word="two") == "TWO!"
    assert templates(tmp_path) == first


def test_another_template_is_another_code(said):
    assert said("{{ word | upper }}!", word="one") == "ONE!"
    assert said("{{ word | lower }}!", word="ONE") == "one!"


def test_a_text_that_is_read_in_another_way_is_another_code(said, tmp_path):
    """Of a template file a backslash is an escape; of a playbook's text it is itself."""
    text = "{{ 'a\\tb' }}"
    (tmp_path / "read.j2").write_text(text)
    assert said(text) == "a\\tb"
    assert (
        said("{{ lookup('ansible.builtin.template', path) }}", path=f"{tmp_path}/read.j2") == "a\tb"
    )
    assert said(text) == "a\\tb"
