"""What tests of the stack itself may ask for."""

import pytest

from local.stack import Stack
from local.state import State


@pytest.fixture
def own(tmp_path):
    """A stack of this test's own, so that it may be killed."""
    emulated = Stack(State.of_tests(tmp_path / "state"))
    yield emulated
    emulated.down()
