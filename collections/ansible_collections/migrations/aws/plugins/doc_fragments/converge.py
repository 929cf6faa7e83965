"""What the documentation of the modules on module_utils/converge.py has in common."""

from __future__ import annotations

from typing import Any

import yaml
from ansible_collections.amazon.aws.plugins.doc_fragments import boto3, common, region

OURS = r"""
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


def merged(*parts: str) -> str:
    """Return the parts' sections in one document; sections of the same name are added up."""
    whole: dict[str, Any] = {}
    for part in parts:
        for name, section in yaml.safe_load(part).items():
            if isinstance(section, dict):
                whole[name] = {**whole.get(name, {}), **section}
            else:
                whole[name] = [*whole.get(name, []), *section]
    return yaml.safe_dump(whole, sort_keys=False)


class ModuleDocFragment:
    """Names ending in a part of this, as C(migrations.aws.converge.state), take that part only.

    The whole is Amazon's options of the connection, and what we say of each module.
    """

    def __init__(self) -> None:
        self.DOCUMENTATION = merged(
            common.ModuleDocFragment.MODULES,
            region.ModuleDocFragment.MODULES,
            boto3.ModuleDocFragment().MODULES,
            OURS,
        )

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
