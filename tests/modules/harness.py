"""A run of a module without `ansible`, which takes ten times as long."""

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible.module_utils.common import warnings
from ansible.module_utils.testing import patch_module_args

ROOT = Path(__file__).parents[2]
_COLLECTION = "ansible_collections.migrations.aws.plugins.modules"


@dataclass(frozen=True)
class Outcome:
    """What a module said."""

    result: dict[str, Any]

    def __getitem__(self, key: str) -> Any:
        """Return what it returns under a name."""
        return self.result[key]

    @property
    def failed(self) -> bool:
        """Whether it failed."""
        return bool(self.result.get("failed"))

    @property
    def changed(self) -> bool:
        """Whether it says that it changed something."""
        return bool(self.result.get("changed"))

    @property
    def message(self) -> str:
        """Why it failed."""
        return str(self.result.get("msg", ""))

    @property
    def warnings(self) -> list[str]:
        """What it warns of."""
        return [str(warning) for warning in self.result.get("warnings", [])]

    def difference(self, part: str) -> tuple[Any, Any]:
        """Return what --diff shows of a part, before and after."""
        diff = self.result["diff"]
        return diff["before"].get(part), diff["after"].get(part)

    def takes_out(self, word: str) -> bool:
        """Whether --diff shows a word before, and not after."""
        diff = self.result["diff"]
        return word in json.dumps(diff["before"]) and word not in json.dumps(diff["after"])


Module = Callable[..., Outcome]
_APART = """
import importlib, json, sys
from ansible.module_utils.testing import patch_module_args
with patch_module_args(json.loads(sys.argv[2])):
    importlib.import_module(sys.argv[1]).main()
"""


def _surroundings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without its variables of AWS, and with others."""
    mine = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    return {**mine, **environment}


def _modes(*, check: bool) -> dict[str, bool]:
    """Return what Ansible adds to a module's arguments."""
    return {"_ansible_check_mode": check, "_ansible_diff": True}


def run(
    kind: str, environment: Mapping[str, str], /, *, check: bool = False, **arguments: Any
) -> Outcome:
    """Run a module with its arguments, as a task does.

    Parameters:
        kind: the module's name in our collection.
        environment: what to add to this process's, whose variables of AWS it does not see.
        check: whether it is a run with --check.
    """
    said = io.StringIO()
    with (
        mock.patch.dict(os.environ, _surroundings(environment), clear=True),
        # Ansible collects them for one process, and so for one module.
        mock.patch.dict(warnings._global_warnings, clear=True),
        patch_module_args(arguments | _modes(check=check)),
        contextlib.redirect_stdout(said),
        pytest.raises(SystemExit),
    ):
        importlib.import_module(f"{_COLLECTION}.{kind}").main()
    return Outcome(json.loads(said.getvalue()))


def run_apart(
    kind: str, environment: Mapping[str, str], /, *, check: bool = False, **arguments: Any
) -> Outcome:
    """Run a module as `run` does, in a process of its own.

    For a module that leaves a process behind, whose parent must be gone as it is after a task.
    """
    given = json.dumps(arguments | _modes(check=check))
    done = subprocess.run(
        [sys.executable, "-c", _APART, f"{_COLLECTION}.{kind}", given],
        env={**_surroundings(environment), "PYTHONPATH": str(ROOT / "collections")},
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Outcome(json.loads(done.stdout))
