"""Ansible filter: a hash as Lambda writes it, as programs do."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

DOCUMENTATION = r"""
name: hexadecimal
short_description: Write a hash in base64 in hexadecimal digits
description:
  - No filter of the collections decodes base64 that is no text.
positional: _input
options:
  _input:
    description: The hash in base64.
    type: str
    required: true
"""

EXAMPLES = r"""
sum: "{{ zip.sha256 | migrations.aws.hexadecimal }}"
"""

RETURN = r"""
_value:
  description: The hash in hexadecimal digits.
  type: str
"""


def hexadecimal(text: str) -> str:
    """Return a hash in hexadecimal digits."""
    return base64.b64decode(text).hex()


class FilterModule:
    """Ansible's way to find it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"hexadecimal": hexadecimal}
