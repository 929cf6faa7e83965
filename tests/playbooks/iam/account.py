"""The account whose runner logs in through IAM: its names, and its database from behind."""

import json
from collections.abc import Callable
from typing import Any

from local.stack import Stack
from tests.aws import run
from tests.playbooks.plays import Play

ACCOUNT = "333344445555"
RUNNER = "schema-migrations-local-runner"
Deploy = Callable[..., Play]


def as_administrator(stack: Stack, statement: str) -> Any:
    """Run a statement on the database behind the cluster, and return its rows."""
    home = stack.state.folder / "postgres" / f"{ACCOUNT}-schema-migrations-local"
    ports = json.loads((home / "ports.json").read_text())
    return run(
        statement,
        host="127.0.0.1",
        port=ports["plain"],
        user="rdsadmin",
        password=(home / "password").read_text(),
        dbname="app",
    )
