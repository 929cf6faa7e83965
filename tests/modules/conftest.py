"""Run a module of ours by itself, on the emulated AWS."""

from typing import Any

import pytest

from local.stack import Stack
from tests.modules import harness


@pytest.fixture(scope="module")
def account() -> str:
    """Give the account that `module` works in; a file of tests may override it."""
    return "000000000000"


@pytest.fixture(scope="module")
def module(stack: Stack, account: str) -> harness.Module:
    """Return what runs a module with its arguments."""

    def run(kind: str, /, *, check: bool = False, **arguments: Any) -> harness.Outcome:
        return harness.run(kind, stack.environment(account), check=check, **arguments)

    return run
