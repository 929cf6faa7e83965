"""An Ansible callback that tells the recorder for which role a request is made."""

import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: acting_role
type: aggregate
short_description: put the name of the role whose task runs into the environment
description: The process that runs a task inherits it.
"""


class CallbackModule(CallbackBase):
    """Set RECORD_ROLE before each task."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "acting_role"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_task_start(self, task: object, *_: object, **__: object) -> None:
        """Note the role; a task of a play itself has none."""
        role = task._role
        os.environ["RECORD_ROLE"] = role.get_name() if role else ""

    v2_playbook_on_handler_task_start = v2_playbook_on_task_start
