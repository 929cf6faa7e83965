#!/usr/bin/python
"""Ansible module: an Aurora PostgreSQL Serverless v2 cluster with its instance."""

from __future__ import annotations

from ansible_collections.migrations.aws.plugins.module_utils.aurora import ENGINE, Cluster, Member
from ansible_collections.migrations.aws.plugins.module_utils.converge import Converge
from ansible_collections.migrations.aws.plugins.module_utils.rds_options import (
    REQUIRED,
    SPEC,
    problems,
    refuse,
    scaling_problems,
)
from ansible_collections.migrations.aws.plugins.module_utils.rds_parameters import ParameterGroup
from ansible_collections.migrations.aws.plugins.module_utils.rds_secret import Secret, key_arn

DOCUMENTATION = r"""
module: aurora_cluster
short_description: Ensure an Aurora PostgreSQL Serverless v2 cluster
description:
  - The cluster with one C(db.serverless) instance, a parameter group of its own that refuses
    connections without TLS, and a master password that RDS keeps in Secrets Manager and rotates.
  - Describes what is there, sends only what differs, and waits until it is available.
  - Refuses what AWS would refuse, before anything is made or removed.
  - Instead of M(amazon.aws.rds_cluster), M(amazon.aws.rds_instance) and
    M(amazon.aws.rds_cluster_param_group). They have no option by which RDS makes, keeps and
    rotates the master password, so that a password would go through Ansible, and none for the
    idle time after which a cluster pauses.
options:
  min_capacity:
    description: Least capacity in ACU. With 0 an idle cluster pauses.
    type: float
    default: 0.5
  max_capacity:
    description: Greatest capacity in ACU.
    type: float
    default: 4
  pause_after:
    description: Idle seconds after which the cluster pauses; only with O(min_capacity=0).
    type: int
    default: 300
  data_api:
    description: Whether the Data API is on.
    type: bool
    default: true
extends_documentation_fragment:
  - migrations.aws.database
  - migrations.aws.converge
  - migrations.aws.converge.tags
"""

EXAMPLES = r"""
- name: Ensure a cluster that pauses when nobody uses it
  migrations.aws.aurora_cluster:
    name: shop-dev
    engine_version: "17.7"
    database: shop
    kms_key: alias/shop-dev-database
    subnet_group: shop-dev
    security_groups: [sg-0123456789abcdef0]
    min_capacity: 0
    max_capacity: 2
    deletion_protection: false
"""

RETURN = r"""
cluster:
  description: The cluster as RDS describes it.
  returned: always; empty where check mode would make it
  type: dict
secret_arn:
  description: ARN of the secret with the master user's name and password.
  returned: always; empty where check mode would make it
  type: str
"""

SIZE = {
    "min_capacity": {"type": "float", "default": 0.5},
    "max_capacity": {"type": "float", "default": 4},
    "pause_after": {"type": "int", "default": 300},
    "data_api": {"type": "bool", "default": True},
}


def main() -> None:
    """Run the module."""
    run = Converge({**SPEC, **SIZE}, required_if=[("state", "present", REQUIRED)])
    rds = run.client("rds")
    group = ParameterGroup(run, rds, ENGINE, "Cluster")
    cluster, member = Cluster(run, rds), Member(run, rds)
    if run.params["state"] == "present":
        refuse(run, [*problems(run.params), *scaling_problems(run.params)])
        run.params["kms_key"] = key_arn(run)
        cluster.check()
        group.ensure()
        cluster.ensure()
        member.ensure()
        Secret(run, cluster.secret_arn).ensure()
    else:
        cluster.refuse_if_protected()
        cluster.remove_copies()
        member.remove()
        cluster.remove(run.params["final_snapshot"])
        group.remove()
    run.exit(cluster=cluster.described(), secret_arn=cluster.secret_arn)


if __name__ == "__main__":
    main()
