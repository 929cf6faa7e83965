"""A file that runs in a fork of a warm process runs as if Python had been started for it."""

import os
import subprocess
import sys
import time

import pytest

from local.ansible.warm import warm
from runner.embedded.process import Process

# What a process can see of how it was started.
LOOK = """
import json, os, sys
print(json.dumps([sys.argv, os.getcwd(), os.environ.get("WORD"), __name__, sys.path, __file__]))
print(sys.stdin.read(), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def python():
    with warm({**os.environ, "WORD": "the warm one's", "PYTHONPATH": "/warm"}) as program:
        socket = program.with_name("socket")
        while not socket.exists():  # until then the program is Python itself
            time.sleep(0.01)
        yield program


@pytest.fixture
def script(tmp_path):
    """Write a file of this content, and return its path."""

    def write(content):
        path = tmp_path / "script.py"
        path.write_text(content)
        return str(path)

    return write


def run(*command, said="said", **environment):
    done = subprocess.run(
        command, env=os.environ | environment, cwd="/", input=said, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_a_file_sees_what_it_would_see_of_python_itself(python, script):
    path = script(LOOK)
    mine = {"WORD": "mine", "PYTHONPATH": "/first:/second"}
    assert run(python, path, "a b", "-c", **mine) == run(sys.executable, path, "a b", "-c", **mine)


def test_a_program_is_read_from_the_input_as_python_itself_reads_it(python):
    # Ansible's wrapper of a module asks for the file that it is.
    program = """
import __main__, os, sys
print([sys.argv, os.getcwd(), os.environ.get("WORD"), __name__, sys.path[0]])
print(__main__.__file__, sys.modules["__main__"] is __main__, __main__.os is os)
"""
    asked = run(python, said=program, WORD="mine")
    assert asked == run(sys.executable, said=program, WORD="mine")


def test_boto3_is_there_already(python, script):
    path = script("import sys; print('boto3' in sys.modules)")
    assert run(python, path)[1] == "True\n"


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("", 0),
        ("raise SystemExit(3)", 3),
        ("1 / 0", 1),
        ("import os; os.kill(os.getpid(), 9)", 137),
    ],
)
def test_the_exit_status_is_the_files(python, script, end, status):
    assert run(python, script(end))[0] == status


@pytest.mark.parametrize(
    "last",
    [
        "print('not flushed', end='')",
        "import atexit; atexit.register(print, 'at exit')",
        "import threading, time; threading.Timer(0.1, print, ['of a thread']).start()",
        "raise SystemExit('why')",
        "raise SystemExit",
        "raise SystemExit(256 + 7)",
        "raise SystemExit(OSError('why'))",
        "import sys; sys.stdout.close()",
        "import sys; sys.stdout = None",
        "import io, sys; print('before', end=''); sys.stdout = io.StringIO()",
        "import io\nfile = open('/dev/stdout', 'w')\nfile.write('x' * 100)\ndef use(): return file",
        "import os\nfile = os.fdopen(os.dup(1), 'wb')\nfile.write(b'x')\ndef use(): return file",
    ],
)
def test_what_python_does_last_is_done(python, script, last):
    path = script(last)
    assert run(python, path) == run(sys.executable, path)


def test_what_is_no_file_is_for_python_itself(python):
    assert run(python, "-c", "print('boto3' in __import__('sys').modules)")[1] == "False\n"


def test_a_file_ends_with_who_asked_for_it(python, script, tmp_path):
    path = script("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen([python, path], stdout=subprocess.PIPE, text=True) as client:
        process = Process.running(int(client.stdout.readline()))
        client.kill()
    assert process
    assert process.ended(10)


def test_without_the_warm_process_python_starts(script):
    with warm(os.environ) as program:
        copy = program.read_text()
    path = script("print('ran')")
    program.parent.mkdir()
    try:
        program.write_text(copy)
        program.chmod(0o700)
        assert run(program, path)[:2] == (0, "ran\n")
    finally:
        program.unlink()
        program.parent.rmdir()
