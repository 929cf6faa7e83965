"""An Ansible callback that keeps what modules are sent as, from one run of a playbook to the next.

Before it can send a module, Ansible parses all that the module imports, once a run: for the modules
of a deployment half of its workers' processor time. Here the folder in which a run keeps the result
leads to one that the next run has as well.
"""

import hashlib
import os
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: kept_modules
type: aggregate
short_description: keep what modules are sent as, from one run to the next
description: In LOCAL_CODE_CACHE, by what it is made of - the installed collections and ours.
"""

_FOLDER = "LOCAL_CODE_CACHE"


class CallbackModule(CallbackBase):  # type: ignore[misc] # Ansible has no types
    """Let the run find what an earlier one has built of the same sources."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kept_modules"
    CALLBACK_NEEDS_ENABLED = False  # who names the folder wants it, whatever else is enabled

    def v2_playbook_on_start(self, _playbook: Any) -> None:
        """Let the run's own folder lead to the kept one; Ansible locks each module in it."""
        kept = Path(os.environ[_FOLDER], f"built-{_digest(constants.COLLECTIONS_PATHS)}")
        kept.mkdir(parents=True, exist_ok=True)
        Path(constants.DEFAULT_LOCAL_TMP, "ansiballz_cache").symlink_to(kept)


def _digest(folders: Iterable[str]) -> str:
    """Return what identifies the sources: ours by content, what is installed by version.

    A folder of the clone or of a build's source is another one with the same content.
    """
    digest = hashlib.sha256(f"{version('ansible')} {version('ansible-core')}".encode())
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.py")):
            digest.update(f"\0{path.relative_to(folder)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
