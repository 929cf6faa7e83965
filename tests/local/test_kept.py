"""What a run makes is made once, and never of other sources than there are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.ansible import startup
from local.ansible.callback import kept

PLAY = "[{hosts: localhost, gather_facts: false, tasks: [{ansible.builtin.ping: }]}]"


@pytest.fixture
def run(tmp_path):
    """Run a playbook of one module, and return the files that were kept of it."""
    playbook = tmp_path / "ping.yml"
    playbook.write_text(PLAY)
    program = Path(sys.executable).with_name("ansible-playbook")
    folder = tmp_path / "kept"

    def run():
        home = {"HOME": str(tmp_path), "ANSIBLE_HOME": str(tmp_path / "ansible")}
        subprocess.run(
            [program, playbook, "-i", "localhost,", "-c", "local"], cwd=tmp_path,
            env=os.environ | startup(folder, Path(sys.executable)) | home, check=True,
            capture_output=True,
        )  # fmt: skip
        return sorted(file for file in folder.glob("*/modules-*/*") if file.suffix != ".lock")

    return run


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
