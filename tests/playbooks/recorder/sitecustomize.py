"""Record every request that a boto3 client of this process makes.

Python imports this by itself where the tests put the folder on PYTHONPATH: in ansible-playbook and
in each module that it starts. One line of JSON for each request goes to the file RECORD_REQUESTS,
with what other variables say of it: environment, playbook and role.
"""

import contextlib
import fcntl
import json
import os
from pathlib import Path

with contextlib.suppress(ImportError):  # as this one is the only sitecustomize of the process
    from local.ansible.kept_code import keep

    keep()

try:
    from botocore.history import BaseHistoryHandler, get_global_history_recorder
except ImportError:  # a Python that has no botocore makes no requests with it
    BaseHistoryHandler = object


CONTEXT = ("environment", "playbook", "role")


class Recorder(BaseHistoryHandler):
    """Append the requests to a file, which many processes share."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def emit(self, event_type: str, payload: object, *_: object) -> None:
        """Write a request down as it was asked for, before botocore looks at it."""
        if event_type != "API_CALL":
            return
        about = {name: os.environ.get(f"RECORD_{name.upper()}", "") for name in CONTEXT}
        line = json.dumps({**about, **payload}, default=_opaque)
        with self.path.open("ab", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # who reads meanwhile would find half a line
            file.write(line.encode() + b"\n")


def _opaque(value: object) -> object:
    """Return what stands for a value that JSON cannot hold: for a package, nothing of it."""
    return "" if isinstance(value, (bytes, bytearray)) else str(value)


if path := os.environ.get("RECORD_REQUESTS"):
    get_global_history_recorder().enable()
    get_global_history_recorder().add_handler(Recorder(path))
