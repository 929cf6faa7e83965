"""Every IAM policy of the roles, rendered as they do it, with an inventory's variables."""

import json
import re
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
_WORD = re.compile(r"[a-z_]\w*")
_INCLUDED = re.compile(r"{% include '(.+?)' %}")
CONNECTION = "arn:aws:codeconnections:eu-central-1:111122223333:connection/0123abcd"
# What AWS would have answered by the time a role renders its policies.
ANSWERED = {
    # The items of loops.
    "item": "live",
    "build": {"name": "deploy-dev", "takes": "arn:aws:iam::111122223333:role/shop-deploy"},
    "__pipeline_account_pipeline": {
        "name": "shop",
        "builds": ["check", "deploy-dev"],
        "starts": "shop-definition",
    },
    "principals": ["arn:aws:iam::111122223333:root"],
    "account_database_key_arn": "arn:aws:kms:eu-central-1:111122223333:key/0123abcd",
    "account_code_signing_arn": "arn:aws:lambda:eu-central-1:1:code-signing-config:csc-1",
    "account_signing_profile": "schema_migrations_dev",
    "bucket": "schema-migrations-files-111122223333-eu-central-1",
    "network_subnet_ids": ["subnet-0123abcd", "subnet-4567efab"],
    "runner_built": {"sha256": "AAAA", "path": "runner.zip"},
    "network_vpc_id": "vpc-0123abcd",
    "database_endpoint": "database.example",
    "database_port": 5432,
    "database_secret_arn": "arn:aws:secretsmanager:eu-central-1:111122223333:secret:rds!cluster-1",
    "database_key_arn": "arn:aws:kms:eu-central-1:111122223333:key/0123abcd",
    "database_arn": "arn:aws:rds:eu-central-1:111122223333:cluster:schema-migrations-dev",
    "database_resource_id": "cluster-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "__pipeline_account_key": {"key_arn": "arn:aws:kms:eu-central-1:111122223333:key/4567efab"},
}
# The choices of an inventory that change policies.
VARIANTS: dict[str, dict[str, Any]] = {
    "": {},
    "read": {"item": "read"},
    "rehearse": {"item": "rehearse", "rehearsal_wanted": True, "rehearsing": True},
    "signed": {"runner_signed": True},
    "codebuild": {"runner_executor": "codebuild"},
    # Together they have to fit into a policy as well.
    "all": {"runner_signed": True, "runner_executor": "codebuild", "rehearsal_wanted": True},
    "iam-login": {"runner_auth": "iam"},
    "fleet": {
        "fleet_wanted": True,
        "fleet_roles": ["arn:aws:iam::222233334444:role/shop-invoke"],
    },
    "fleet-read": {"fleet_wanted": True, "item": "read"},
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


@cache
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
    found: dict[str, Policy] = {}
    for variant, changes in VARIANTS.items():
        for path in TEMPLATES:
            if changes and not changes.keys() & named(path, "dev"):
                continue  # it says nothing of what is another one
            policy = rendered(path, "dev", variant, **changes)
            found.setdefault(f"{path} {policy.statements}", policy)
    return tuple(found.values())


@cache
def named(path: Path, env: str) -> set[str]:
    """Return the words of a template, of the variables that it names, of those that they name."""
    known, words, texts = variables(prepared(), env), set(), [path.read_text()]
    texts += [path.with_name(name).read_text() for name in _INCLUDED.findall(texts[0])]
    while texts:
        new = {*_WORD.findall(texts.pop())} - words
        words |= new
        texts += [str(known[word]) for word in new & known.keys()]
    return words


def rendered(path: Path, env: str, variant: str = "", **changes: Any) -> Policy:
    """Return the policy of a template, with an inventory's variables and changes to them."""
    name = path.name.removesuffix(".yml.j2")
    return Policy(path.parts[-3], name, variant, tuple(document(path, env, **changes)["Statement"]))


def document(path: Path, env: str, **changes: Any) -> dict[str, Any]:
    """Return what a template is, with an inventory's variables and changes to them."""
    loader = prepared()
    known = variables(loader, env)
    # All that there are would be copied for each template, which takes longer than to render it.
    needed = {name: known[name] for name in named(path, env) & known.keys()}
    templar = Templar(loader=loader, variables={**needed, **changes})
    expression = f"{{{{ lookup('ansible.builtin.template', '{path}') | from_yaml }}}}"
    found: dict[str, Any] = json.loads(json.dumps(templar.template(trust_as_template(expression))))
    return found


@cache
def prepared() -> DataLoader:
    """Make Ansible find its plugins, which it does once in a process, and return its loader."""
    init_plugin_loader([])
    return DataLoader()
