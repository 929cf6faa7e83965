"""A template is compiled once, and its code is never another template's or of another reading."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.ansible import startup


@pytest.fixture
def said(tmp_path):
    """Run a playbook that writes what this template gives, and return that."""
    program = Path(sys.executable).with_name("ansible-playbook")
    playbook, written = tmp_path / "play.yml", tmp_path / "written"

    def said(template, **variables):
        copy = {"content": template, "dest": str(written)}
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": sys.executable, **variables},
            "tasks": [{"ansible.builtin.copy": copy}],
        }
        playbook.write_text(json.dumps([play]))
        home = {"HOME": str(tmp_path), "ANSIBLE_HOME": str(tmp_path / "ansible")}
        subprocess.run(
            [program, playbook, "-i", "localhost,", "-c", "local"], cwd=tmp_path,
            env=os.environ | startup(tmp_path / "kept", Path(sys.executable)) | home, check=True,
            capture_output=True,
        )  # fmt: skip
        return written.read_text()

    return said


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
