"""Ansible callback: which tasks changed something, or would, in a few words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible_collections.migrations.aws.plugins.module_utils.changes import told

DOCUMENTATION = r"""
name: changes
type: notification
short_description: Tell a pipeline which tasks changed something, or would
description:
  - Writes two lines for a shell into the file that the variable E(CHANGES_FILE) names, after a play
    that did not fail. C(CHANGED) is the number of tasks that changed something, or in check mode
    would, C(CHANGES) their number and names. Nothing of what they would change is in it, for that
    may be anybody's to read.
  - The names are those of a playbook that somebody may have written to deceive. So they are cut,
    and lose what a shell, JSON or a terminal would take for something else.
  - Callbacks that come with Ansible tell a result with all that is in it, or none.
"""


# A package is made on the machine that plays, each time anew in a build: nothing of AWS's changes.
_HERE = ("migrations.aws.lambda_zip",)


class CallbackModule(CallbackBase):  # type: ignore[misc] # Ansible has no types
    """Collect names, and write them at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "migrations.aws.changes"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        """Begin with no change."""
        super().__init__()
        self._names: list[str] = []

    def v2_runner_on_ok(self, result: Any) -> None:
        """Note a task that changed something, or would."""
        if result.is_changed() and result.task.action not in _HERE:
            self._names.append(result.task.get_name())

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write what was noted, unless something failed."""
        if not (stats.failures or stats.dark):
            path = Path(os.environ["CHANGES_FILE"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(told(self._names))
