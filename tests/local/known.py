"""Calls about what was made a moment ago, which the emulator refuses once as AWS may."""

from collections.abc import Callable
from typing import Any

import botocore.exceptions


def until_known(call: Callable[..., Any], **request: Any) -> Any:
    """Return the answer to a request that is refused the first time."""
    try:
        return call(**request)
    except botocore.exceptions.ClientError:
        return call(**request)
