"""Every IAM policy of the roles, rendered as they do it, with an inventory's variables."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from ansible.vars.manager import VariableManager

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted(
    path
    for path in ROOT.glob("roles/*/templates/*.j2")
    if 'Version: "2012-10-17"' in path.read_text()
)
CONNECTION = "arn:aws:codeconnections:eu-central-1:111122223333:connection/0123abcd"
# What AWS would have answered by the time a role renders its policies.
ANSWERED = {
    "principals": ["arn:aws:iam::111122223333:root"],
    "account_database_key_arn": "arn:aws:kms:eu-central-1:111122223333:key/0123abcd",
    "database_endpoint": "database.example",
    "database_port": 5432,
    "database_secret_arn": "arn:aws:secretsmanager:eu-central-1:111122223333:secret:rds!cluster-1",
    "database_key_arn": "arn:aws:kms:eu-central-1:111122223333:key/0123abcd",
    "__pipeline_account_key": {"key_arn": "arn:aws:kms:eu-central-1:111122223333:key/4567efab"},
}
# The choices of an inventory that change policies.
VARIANTS: dict[str, dict[str, Any]] = {
    "": {},
    "connection": {
        "pipeline_source": {"connection_arn": CONNECTION, "repository": "o/n", "branch": "main"}
    },
}


@dataclass(frozen=True)
class Policy:
    """One policy document, and where it comes from."""

    role: str
    name: str
    variant: str
    statements: tuple[dict[str, Any], ...]

    def __str__(self) -> str:
        return "-".join(filter(None, (self.role, self.name, self.variant)))

    @property
    def trust(self) -> bool:
        """Whether it says who may take a role, rather than what the role may do."""
        return any("sts:AssumeRole" in s["Action"] and "Principal" in s for s in self.statements)


def read(path: Path) -> dict[str, Any]:
    """Return a YAML file's content; a missing file is empty."""
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


def variables(loader: DataLoader, env: str) -> dict[str, Any]:
    """Return what a play in playbooks/ on this environment sees, and what all roles add to it."""
    loader.set_basedir(str(ROOT / "playbooks"))
    inventory = InventoryManager(loader=loader, sources=[str(ROOT / "inventories" / env)])
    manager = VariableManager(loader=loader, inventory=inventory)
    result: dict[str, Any] = {}
    for role in sorted((ROOT / "roles").iterdir()):  # the names of each begin with the role's own
        result |= read_trusted(role / "defaults/main.yml")
    result |= manager.get_vars(host=inventory.get_host(env))
    for role in sorted((ROOT / "roles").iterdir()):
        result |= read_trusted(role / "vars/main.yml")
    return result | ANSWERED


def read_trusted(path: Path) -> dict[str, Any]:
    """Return a role's variables, whose templates Ansible may expand."""
    return {
        name: trust_as_template(value) if isinstance(value, str) else value
        for name, value in read(path).items()
    }


@cache
def policies() -> tuple[Policy, ...]:
    """Return every policy; once more where a variant of the inventory makes it another one."""
    return tuple(render("dev"))


def render(env: str) -> Iterator[Policy]:
    """Render the policies with an inventory's variables, and with those of each variant."""
    init_plugin_loader([])
    loader = DataLoader()
    known = variables(loader, env)
    seen: set[str] = set()
    for variant, changes in VARIANTS.items():
        templar = Templar(loader=loader, variables={**known, **changes})
        for path in TEMPLATES:
            expression = f"{{{{ lookup('ansible.builtin.template', '{path}') | from_yaml }}}}"
            document = json.loads(json.dumps(templar.template(trust_as_template(expression))))
            if f"{path}{document}" not in seen:
                seen.add(f"{path}{document}")
                name = path.name.removesuffix(".yml.j2")
                yield Policy(path.parts[-3], name, variant, tuple(document["Statement"]))
