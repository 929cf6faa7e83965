"""Run ministack, patched: python -m local.emulator STATE TLS_PORT PLAIN_PORT [fast].

Everything else comes from ministack's own environment variables, which local.stack sets.
"""

import importlib
import sys
from pathlib import Path

from local.emulator import (
    builds,
    callers,
    changes,
    codebuild,
    ec2,
    ec2_permissions,
    fresh,
    functions,
    iam,
    invocations,
    machines,
    patches,
    rds,
    rds_data,
    rds_restore,
    reports,
    sessions,
    signing,
    texts,
)
from local.emulator.database import Databases, Ports
from local.errors import LocalError
from local.postgres.tls import TlsFront
from local.state import State


def main() -> None:
    """Patch what is missing, then hand over to ministack."""
    state, tls, plain, *fast = sys.argv[1:]
    folder = Path(state)
    del sys.argv[1:]  # ministack reads them too
    databases = Databases(
        folder / "postgres",
        TlsFront(folder / "server.pem"),
        Ports(int(tls), int(plain)),
        durable=not fast,
    )
    rds.patch(databases)
    rds_data.patch()
    rds_restore.patch(databases)
    iam.patch()
    ec2.patch()
    ec2_permissions.patch()
    functions.patch()
    signing.patch()
    invocations.patch()
    machines.patch()
    codebuild.patch()
    builds.patch()
    reports.patch()
    sessions.patch()
    callers.patch()
    changes.patch_aws(State(folder).changes / "aws")
    fresh.patch()
    texts.patch()
    try:
        patches.apply()
    except LocalError as error:
        sys.exit(str(error))
    importlib.import_module("ministack.app").main()


main()
