"""Ansible filter: of policies, what only looks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

DOCUMENTATION = r"""
name: looking
short_description: Make of policies that change things one that only looks at them
description:
  - Keeps the actions that describe, get or list, on the same resources under the same conditions.
    What a secret holds is left out, as is what opens it - neither says how something is set up.
  - So who looks whether a play would change something is granted what the play itself looks at, in
    one place with what it changes.
  - No filter of the collections knows what an action does.
positional: _input
options:
  _input:
    description: The policies.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
policy: "{{ [network, database] | migrations.aws.looking }}"
"""

RETURN = r"""
_value:
  description: The policy.
  type: dict
"""

_LOOKING = re.compile(r"[a-z0-9-]+:(BatchGet|Describe|Get|List)\w+")
_SECRET = ("secretsmanager:GetSecretValue",)

Policy = dict[str, Any]


def looking(policies: list[Policy]) -> Policy:
    """Return one policy with the statements that look, each with the actions that do."""
    statements = [
        {**statement, "Action": [name for name in _several(statement["Action"]) if _looks(name)]}
        for policy in policies
        for statement in policy["Statement"]
    ]
    return {"Version": "2012-10-17", "Statement": [s for s in statements if s["Action"]]}


def _looks(name: str) -> bool:
    return bool(_LOOKING.fullmatch(name)) and name not in _SECRET


def _several(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


class FilterModule:
    """Ansible's way to find it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"looking": looking}
