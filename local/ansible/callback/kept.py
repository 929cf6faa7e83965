"""An Ansible callback that has a run of a playbook find what an earlier one has made.

Before it can send a module, Ansible parses all that the module imports, once a run: for the modules
of a deployment half of its workers' processor time. Here the folder in which a run keeps the result
leads to one that the next run has as well. So does what its templates are compiled to.
"""

import hashlib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.callback import CallbackBase

from local.ansible import kept_templates
from local.ansible.kept_code import home

DOCUMENTATION = """
name: kept
type: aggregate
short_description: keep what modules are sent as, and the code of templates
description: In LOCAL_CODE_CACHE, by what it is made of - the installed collections and ours.
"""

_MAKERS = ("ansible", "ansible-core", "jinja2")


class CallbackModule(CallbackBase):  # type: ignore[misc] # Ansible has no types
    """Let the run find what an earlier one has made of the same sources."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kept"
    CALLBACK_NEEDS_ENABLED = False  # who names the folder wants it, whatever else is enabled

    def v2_playbook_on_start(self, _playbook: Any) -> None:
        """Let the run's own folders lead to the kept ones; Ansible locks each module in it."""
        kept = home()
        assert kept, "who names this callback names its folder"
        made_of = _digest(constants.COLLECTIONS_PATHS)
        modules = kept / f"modules-{made_of}"
        modules.mkdir(parents=True, exist_ok=True)
        Path(constants.DEFAULT_LOCAL_TMP, "ansiballz_cache").symlink_to(modules)
        kept_templates.keep(kept / f"templates-{made_of}")


def _digest(folders: Iterable[str]) -> str:
    """Return what identifies the sources: ours by content, what is installed by version.

    A folder of the clone or of a build's source is another one with the same content.
    """
    digest = hashlib.sha256(" ".join(version(name) for name in _MAKERS).encode())
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.py")):
            digest.update(f"\0{path.relative_to(folder)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
