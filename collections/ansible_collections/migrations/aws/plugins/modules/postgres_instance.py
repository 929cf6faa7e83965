#!/usr/bin/python
"""Ansible module: an RDS PostgreSQL instance that belongs to no cluster."""

from __future__ import annotations

from ansible_collections.migrations.aws.plugins.module_utils.converge import Converge
from ansible_collections.migrations.aws.plugins.module_utils.postgres import ENGINE, Instance
from ansible_collections.migrations.aws.plugins.module_utils.rds_options import (
    REQUIRED,
    SPEC,
    problems,
    refuse,
    storage_problems,
)
from ansible_collections.migrations.aws.plugins.module_utils.rds_parameters import ParameterGroup
from ansible_collections.migrations.aws.plugins.module_utils.rds_secret import Secret, key_arn

DOCUMENTATION = r"""
module: postgres_instance
short_description: Ensure an RDS PostgreSQL instance
description:
  - The instance with gp3 storage, a parameter group of its own that refuses connections without
    TLS, and a master password that RDS keeps in Secrets Manager and rotates. Never public.
  - Describes what is there, sends only what differs, and waits until it is available.
  - Refuses what AWS would refuse, before anything is made or removed.
  - Instead of M(amazon.aws.rds_instance) and M(amazon.aws.rds_instance_param_group), which have
    no option by which RDS makes, keeps and rotates the master password, so that a password would
    go through Ansible.
options:
  instance_class:
    description: Class of the instance, such as C(db.t4g.medium).
    type: str
  storage:
    description: Storage in GB, at least; it grows and never shrinks.
    type: int
  multi_az:
    description: Whether a standby waits in a second zone.
    type: bool
extends_documentation_fragment:
  - migrations.aws.database
  - migrations.aws.converge
  - migrations.aws.converge.tags
"""

EXAMPLES = r"""
- name: Ensure an instance with a standby
  migrations.aws.postgres_instance:
    name: shop-prod
    engine_version: "17.7"
    database: shop
    kms_key: alias/shop-prod-database
    subnet_group: shop-prod
    security_groups: [sg-0123456789abcdef0]
    instance_class: db.m7g.large
    storage: 100
    multi_az: true
"""

RETURN = r"""
instance:
  description: The instance as RDS describes it.
  returned: always; empty where check mode would make it
  type: dict
secret_arn:
  description: ARN of the secret with the master user's name and password.
  returned: always; empty where check mode would make it
  type: str
"""

SIZE = {"instance_class": {"type": "str"}, "storage": {"type": "int"}, "multi_az": {"type": "bool"}}


def main() -> None:
    """Run the module."""
    run = Converge({**SPEC, **SIZE}, required_if=[("state", "present", [*REQUIRED, *SIZE])])
    rds = run.client("rds")
    group, instance = ParameterGroup(run, rds, ENGINE), Instance(run, rds)
    if run.params["state"] == "present":
        refuse(run, [*problems(run.params), *storage_problems(run.params)])
        run.params["kms_key"] = key_arn(run)
        instance.check()
        group.ensure()
        instance.ensure()
        Secret(run, instance.secret_arn).ensure()
    else:
        instance.refuse_if_protected()
        instance.remove_copies()
        instance.remove(run.params["final_snapshot"])
        group.remove()
    run.exit(instance=instance.described(), secret_arn=instance.secret_arn)


if __name__ == "__main__":
    main()
