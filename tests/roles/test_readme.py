"""A role's README says what an operator has to know, and tells the truth about permissions."""

from pathlib import Path

import pytest

from tests.policies.audit import named
from tests.policies.rendered import ROOT, policies
from tests.roles.readme import listed

ROLES = sorted((ROOT / "roles").iterdir())
# What a role takes: of the deploy role and the one that destroys, or of the operator at bootstrap
# and at the end.
TAKEN = ("deploy-policy", "destroy-policy", "operator-policy", "teardown-policy", "sign-policy")
POLICIES = [policy for policy in policies() if policy.name in TAKEN]


@pytest.mark.parametrize("role", ROLES, ids=lambda r: r.name)
def test_readme_has_outcome_example_and_actions(role: Path) -> None:
    readme = (role / "README.md").read_text()
    assert readme.startswith(f"# {role.name}\n")
    assert f"    name: {role.name}\n" in readme
    assert listed(readme)


@pytest.mark.parametrize("role", sorted({policy.role for policy in POLICIES}))
def test_readme_lists_the_actions_of_the_policy(role: str) -> None:
    taken = {
        name for p in POLICIES if p.role == role for s, name in named(p) if s["Effect"] == "Allow"
    }
    assert listed((ROOT / "roles" / role / "README.md").read_text()) == taken
