"""A run of a module inside this process, which takes a tenth of the time of `ansible`."""

import contextlib
import importlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest
from ansible.module_utils.testing import patch_module_args

from local.stack import Stack

ACCOUNT = "777788889999"
_COLLECTION = "ansible_collections.migrations.aws.plugins.modules"


@dataclass(frozen=True)
class Outcome:
    """What a module said."""

    result: dict[str, Any]

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

    def difference(self, part: str) -> tuple[Any, Any]:
        """Return what --diff shows of a part, before and after."""
        diff = self.result["diff"]
        return diff["before"].get(part), diff["after"].get(part)


Module = Callable[..., Outcome]


def runs_on(stack: Stack) -> Module:
    """Return what runs a module with its arguments, in an account of its own."""

    def run(kind: str, /, *, check: bool = False, **arguments: Any) -> Outcome:
        others = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        environment = others | stack.environment(ACCOUNT)
        modes = {"_ansible_check_mode": check, "_ansible_diff": True}
        said = io.StringIO()
        with (
            mock.patch.dict(os.environ, environment, clear=True),
            patch_module_args(arguments | modes),
            contextlib.redirect_stdout(said),
            pytest.raises(SystemExit),
        ):
            importlib.import_module(f"{_COLLECTION}.{kind}").main()
        return Outcome(json.loads(said.getvalue()))

    return run
