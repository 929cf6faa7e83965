"""Compiled code of a zip is kept, and is never another source's."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from local.ansible import startup


@pytest.fixture
def run(tmp_path):
    """Run a module `told` of this source from a zip, in a process that keeps compiled code."""

    def run(source):
        archive = tmp_path / "modules.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("told.py", source)
        program = f"import sys; sys.path.insert(0, {str(archive)!r}); import told; told.tell()"
        kept = startup(tmp_path / "kept", Path(sys.executable))
        done = subprocess.run(
            [sys.executable, "-c", program], env=os.environ | kept,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout + done.stderr

    return run


def kept(tmp_path):
    return sorted((tmp_path / "kept").glob("*/*"))


def test_a_source_is_compiled_once(run, tmp_path):
    source = "def tell():\n    print('told')\n"
    assert run(source) == "told\n"
    (file,) = kept(tmp_path)
    before = file.stat()
    assert run(source) == "told\n"
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_changed_source_runs_as_it_is(run, tmp_path):
    assert run("def tell():\n    print('told')\n") == "told\n"
    assert run("def tell():\n    print('else')\n") == "else\n"
    assert len(kept(tmp_path)) == 2


@pytest.mark.parametrize("content", [b"", b"no code", b"i\x01\x00\x00\x00"])
def test_a_file_that_holds_no_code_is_made_anew(run, tmp_path, content):
    source = "def tell():\n    print('told')\n"
    run(source)
    (file,) = kept(tmp_path)
    file.write_bytes(content)
    assert run(source) == "told\n"
    assert file.read_bytes() != content


def test_without_a_folder_to_write_to_nothing_is_kept(run, tmp_path):
    (tmp_path / "kept").touch()
    assert run("def tell():\n    print('told')\n") == "told\n"
