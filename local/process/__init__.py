"""This machine: its processes, its ports, who may run what, and what a process inherits.

Here enters what would be the same without AWS and without PostgreSQL, and all that depends on the
operating system. It knows no other room.
"""

from local.process.ports import Claim, free_port, is_free, require_free
from local.process.process import Process, command_line

__all__ = ["Claim", "Process", "command_line", "free_port", "is_free", "require_free"]
