"""Count the requests that may have changed something: who deploys can see whether anybody did.

Each emulator counts in a file of its own. What it begins by itself is no request, and a function
that is invoked makes its own.
"""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.emulator.patches import module, wrap

# What an action's name begins with that leaves everything as it is.
_LOOKS = re.compile(
    "Assume|BatchGet|Decrypt|Describe|Filter|Get|Head|Invoke|List|Poll|Simulate|Validate"
)


def patch_aws(file: Path) -> None:
    """Have ministack count, where it asks IAM about a request.

    Args:
        file: of the count; there is none before the first request that may change something.

    """
    count = _counting(file)

    def wrapper(original: Any) -> Any:
        def enforce(access_key: str, action: str, *more: Any, **named: Any) -> Any:
            count(action.rpartition(":")[2])
            return original(access_key, action, *more, **named)

        return enforce

    wrap(module("ministack.core.iam_evaluator"), "enforce", wrapper)


def patch_pipelines(file: Path) -> None:
    """Have moto count, where it begins with a request; as `patch_aws`."""
    count = _counting(file)

    def wrapper(original: Any) -> Any:
        def call_action(self: Any) -> Any:
            count(self._get_action())
            return original(self)

        return call_action

    wrap(module("moto.core.responses"), "BaseResponse.call_action", wrapper)


def _counting(file: Path) -> Callable[[str], None]:
    numbers = itertools.count(1)

    def count(action: str) -> None:
        if not _LOOKS.match(action):
            file.write_text(str(next(numbers)))

    return count
