"""Names that say who acts. Without Ansible and boto3, for programs that have neither loaded."""

from __future__ import annotations

import re

LONGEST = 64  # characters of a role session's name


def session_name(arn: str) -> str:
    """Return the name for a role session that tells whose it is: the caller's own.

    A user's name, an assumed role's session name, or "root". CloudTrail shows it with each
    request, and Session Manager knows by it which sessions are the caller's own.
    """
    return re.split("[:/]", arn)[-1][:LONGEST]
