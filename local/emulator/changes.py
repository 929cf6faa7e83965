"""Count the requests that may have changed something: who deploys can see whether anybody did.

The count is in a file. What is begun by the emulator itself is no request, and a function that is
invoked makes its own.
"""

import itertools
import re
from pathlib import Path
from typing import Any

from local.emulator.patches import module, wrap

evaluator = module("ministack.core.iam_evaluator")

# What an action's name begins with that leaves everything as it is.
_LOOKS = re.compile(
    r"\w+:(?:Assume|BatchGet|Decrypt|Describe|Filter|Get|Head|Invoke|List|Simulate|Validate)"
)


def patch(file: Path) -> None:
    """Keep the count in `file`, from the first request that may change something."""
    wrap(evaluator, "enforce", _counting(file))


def _counting(file: Path) -> Any:
    numbers = itertools.count(1)

    def wrapper(original: Any) -> Any:
        def enforce(access_key: str, action: str, *more: Any, **named: Any) -> Any:
            if not _LOOKS.match(action):
                file.write_text(str(next(numbers)))
            return original(access_key, action, *more, **named)

        return enforce

    return wrapper
