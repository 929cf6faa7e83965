"""Run a module of ours by itself, on the emulated AWS."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.stack import Stack

ROOT = Path(__file__).parents[2]
Module = Callable[..., dict[str, Any]]


@pytest.fixture
def module(stack: Stack, tmp_path: Path) -> Module:
    """Return what runs a module with options of `ansible` and arguments.

    It gives the module's result, and under "output" what a person sees, the difference and
    warnings included.
    """

    def run(name: str, /, *options: str, **arguments: Any) -> dict[str, Any]:
        command = ["ansible", "localhost", "-i", "localhost,", "-c", "local"]
        command += ["-m", f"migrations.aws.{name}", "-a", json.dumps(arguments)]
        command += ["-e", f"ansible_python_interpreter={sys.executable}", *options]
        done = subprocess.run(
            [Path(sys.executable).with_name(command[0]), *command[1:]],
            cwd=ROOT,
            env={
                **os.environ,
                **stack.environment(),
                "ANSIBLE_HOME": str(tmp_path),
                "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
                "LC_ALL": "C.UTF-8",
            },
            check=False,
            capture_output=True,
            text=True,
        )
        return {**json.loads(done.stdout.partition(" => ")[2]), "output": done.stdout + done.stderr}

    return run
