"""The options that both kinds of database take, and what AWS would say of them only late."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.migrations.aws.plugins.module_utils.converge import (
    STATE,
    TAGS,
    Converge,
    Document,
)

SPEC: Document = {
    "name": {"type": "str", "required": True},
    "engine_version": {"type": "str"},
    "database": {"type": "str"},
    "master_username": {"type": "str", "default": "postgres"},
    "kms_key": {"type": "str"},
    "subnet_group": {"type": "str"},
    "security_groups": {"type": "list", "elements": "str", "default": []},
    "parameters": {"type": "dict", "default": {"rds.force_ssl": "1"}},
    "log_exports": {"type": "list", "elements": "str", "default": ["postgresql"]},
    "iam_authentication": {"type": "bool", "default": True},
    "backup_days": {"type": "int", "default": 7},
    "rotation_days": {"type": "int", "default": 7},
    "deletion_protection": {"type": "bool", "default": True},
    "performance_insights": {"type": "bool", "default": False},
    "apply": {"type": "str", "choices": ["window", "now"], "default": "window"},
    "final_snapshot": {"type": "str"},
    "timeout": {"type": "int", "default": 1800},
    "tags": TAGS,
    "state": STATE,
}
REQUIRED = ["engine_version", "database", "kms_key", "subnet_group", "security_groups"]
IDENTIFIER = re.compile(r"(?!.*--)[a-z][a-z0-9-]*(?<!-)")
DATABASE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
# An Aurora instance is named after its cluster, with two characters more.
LONGEST = 61


def refuse(run: Converge, problems: list[str]) -> None:
    """End the module with everything that is wrong at once; the words are the inventory's."""
    if problems:
        run.module.fail_json(msg="AWS would refuse this database: " + "; ".join(problems) + ".")


def problems(params: Document) -> Iterator[str]:
    """Tell what is wrong with the options that both kinds of database take."""
    name = params["name"]
    if not IDENTIFIER.fullmatch(name) or len(name) > LONGEST:
        yield (
            f"the name {name} is not 1 to {LONGEST} lower-case letters, digits and single hyphens "
            "that begin with a letter and do not end with a hyphen"
        )
    if not DATABASE.fullmatch(params["database"]):
        yield (
            f"database_database {params['database']} is not 1 to 63 letters, digits and "
            "underscores that begin with a letter"
        )
    for option, least, most in (("backup_days", 1, 35), ("rotation_days", 1, 1000)):
        if not least <= params[option] <= most:
            yield f"database_{option} {params[option]} is not {least} to {most}"


def scaling_problems(params: Document) -> Iterator[str]:
    """Tell what is wrong with the capacity of an Aurora cluster."""
    least, most = params["min_capacity"], params["max_capacity"]
    for option, value in (("min_capacity", least), ("max_capacity", most)):
        if not 0 <= value <= 256 or value * 2 % 1:  # noqa: PLR2004 (AWS's bounds)
            yield f"database_{option} {value:g} is not 0 to 256 in steps of 0.5"
    if most < max(least, 1):
        yield f"database_max_capacity {most:g} is less than 1 or than database_min_capacity"
    if not least and not 300 <= params["pause_after"] <= 86400:  # noqa: PLR2004
        yield f"database_pause_after {params['pause_after']} is not 300 to 86400 seconds"


def storage_problems(params: Document) -> Iterator[str]:
    """Tell what is wrong with the size of an instance."""
    if not 20 <= params["storage"] <= 65536:  # noqa: PLR2004 (AWS's bounds for gp3)
        yield f"database_storage {params['storage']} is not 20 to 65536 GB"
    if not params["instance_class"].startswith("db."):
        yield f"database_instance_class {params['instance_class']} does not begin with db."
