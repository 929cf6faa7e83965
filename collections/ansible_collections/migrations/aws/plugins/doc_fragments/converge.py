"""What the documentation of the modules on module_utils/converge.py has in common."""

from __future__ import annotations


class ModuleDocFragment:
    """Names ending in a part of this, as C(migrations.aws.converge.state), take that part only."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    support: full
    description: Says what it would change, and changes nothing.
  diff_mode:
    support: full
    description: Says what it changes, before and after.
author:
  - The schema-migrations maintainers
"""

    STATE = r"""
options:
  state:
    description: Whether it is to exist.
    type: str
    choices: [present, absent]
    default: present
"""

    TAGS = r"""
options:
  tags:
    description: Its tags. Others that it has are left alone.
    type: dict
    default: {}
"""
