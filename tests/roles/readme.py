"""What a role's README says."""

import re


def listed(readme: str) -> set[str]:
    """Return the actions that a README lists."""
    section = readme.partition("## IAM actions")[2]
    lines = re.findall(r"^- `([a-z0-9-]+)`: (.+)$", section, re.MULTILINE)
    return {f"{service}:{name}" for service, names in lines for name in names.split(", ")}
