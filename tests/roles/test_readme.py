"""A role's README says what an operator has to know, and tells the truth about permissions."""

import re
from pathlib import Path

import pytest

ROLES = sorted((Path(__file__).parents[2] / "roles").iterdir())
POLICIES = sorted(Path(__file__).parents[2].glob("roles/*/templates/deploy-policy.yml.j2"))
CONDITION_KEYS = {
    "aws:RequestedRegion",
    "aws:ResourceTag",
    "iam:AWSServiceName",
    "iam:PassedToService",
    "iam:PermissionsBoundary",
    "kms:GrantIsForAWSResource",
    "kms:ViaService",
}


def listed(readme: str) -> set[str]:
    """Return the actions that a README lists."""
    section = readme.partition("## IAM actions")[2]
    lines = re.findall(r"^- `([a-z0-9-]+)`: (.+)$", section, re.MULTILINE)
    return {f"{service}:{name}" for service, names in lines for name in names.split(", ")}


@pytest.mark.parametrize("role", ROLES, ids=lambda r: r.name)
def test_readme_has_outcome_example_and_actions(role: Path) -> None:
    readme = (role / "README.md").read_text()
    assert readme.startswith(f"# {role.name}\n")
    assert f"    name: {role.name}\n" in readme
    assert listed(readme)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.parts[-3])
def test_readme_lists_the_actions_of_the_policy(policy: Path) -> None:
    granted = set(re.findall(r"\b[a-z0-9-]+:[A-Z]\w+", policy.read_text())) - CONDITION_KEYS
    assert listed((policy.parents[1] / "README.md").read_text()) == granted
