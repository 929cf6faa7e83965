"""The runner in CodeBuild: the function's own handler, without the function's 15 minutes.

The build's result is an object of S3, and the build fails where the result is an error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping

from runner import codebuild
from runner.handler import RunFailed, handle


class _Context:
    """What Lambda would say of the call; who started the build has looked at its alias."""

    invoked_function_arn = "arn:aws:lambda:region:account:function:build:live"

    def __init__(self, environment: Mapping[str, str]) -> None:
        began = float(environment["CODEBUILD_START_TIME"]) / 1000
        self._until = began + 60 * float(environment["RUN_MINUTES"])

    def get_remaining_time_in_millis(self) -> int:
        """Return how long the build may still run."""
        return max(0, round((self._until - time.time()) * 1000))


def main() -> int:
    """Run what the build was started for; return its exit status."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        document = handle(codebuild.given(os.environ), _Context(os.environ))
    except RunFailed as failed:
        codebuild.leave(os.environ, str(failed).encode())
        return 1
    codebuild.leave(os.environ, json.dumps(document, ensure_ascii=False).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
