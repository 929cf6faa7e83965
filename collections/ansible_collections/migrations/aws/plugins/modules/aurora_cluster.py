#!/usr/bin/python
"""Ansible module: an Aurora PostgreSQL Serverless v2 cluster with its instance."""

from __future__ import annotations

from ansible_collections.migrations.aws.plugins.module_utils.aurora import Cluster
from ansible_collections.migrations.aws.plugins.module_utils.aurora_parts import (
    Instance,
    ParameterGroup,
    Secret,
    key_arn,
)
from ansible_collections.migrations.aws.plugins.module_utils.converge import STATE, TAGS, Converge

DOCUMENTATION = r"""
module: aurora_cluster
short_description: Ensure an Aurora PostgreSQL Serverless v2 cluster
description:
  - The cluster with one C(db.serverless) instance, a parameter group of its own that refuses
    connections without TLS, and a master password that RDS keeps in Secrets Manager and rotates.
  - Describes what is there, sends only what differs, and waits until it is available. A minor
    version that AWS has raised by itself is left alone.
options:
  name:
    description: Identifier of cluster and parameter group; the instance's has C(-1) at its end.
    type: str
    required: true
  engine_version:
    description: Version of a new cluster. Of an existing one only the major version is compared.
    type: str
  database:
    description: Database made with the cluster.
    type: str
  master_username:
    description: Name of the master user.
    type: str
    default: postgres
  kms_key:
    description: ARN or alias of the key for the storage and the master secret; it must exist.
    type: str
  subnet_group:
    description: Name of the subnet group.
    type: str
  security_groups:
    description: Ids of the security groups.
    type: list
    elements: str
    default: []
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
  parameters:
    description: Cluster parameters that differ from AWS's defaults, by their names.
    type: dict
    default: {rds.force_ssl: "1"}
  log_exports:
    description: Logs to send to CloudWatch.
    type: list
    elements: str
    default: [postgresql]
  data_api:
    description: Whether the Data API is on.
    type: bool
    default: true
  iam_authentication:
    description: Whether IAM database authentication is on.
    type: bool
    default: true
  backup_days:
    description: Days that automatic backups are kept.
    type: int
    default: 7
  rotation_days:
    description: Days between rotations of the master password.
    type: int
    default: 7
  deletion_protection:
    description: Whether AWS refuses to delete the cluster.
    type: bool
    default: true
  performance_insights:
    description: Whether the instance has Performance Insights.
    type: bool
    default: false
  final_snapshot:
    description: With O(state=absent), identifier of a last snapshot; without it none is made.
    type: str
  timeout:
    description: Seconds to wait for each of cluster and instance.
    type: int
    default: 1800
  state:
    description: Whether the cluster is to exist. C(absent) needs deletion protection to be off.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
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

SPEC = {
    "name": {"type": "str", "required": True},
    "engine_version": {"type": "str"},
    "database": {"type": "str"},
    "master_username": {"type": "str", "default": "postgres"},
    "kms_key": {"type": "str"},
    "subnet_group": {"type": "str"},
    "security_groups": {"type": "list", "elements": "str", "default": []},
    "min_capacity": {"type": "float", "default": 0.5},
    "max_capacity": {"type": "float", "default": 4},
    "pause_after": {"type": "int", "default": 300},
    "parameters": {"type": "dict", "default": {"rds.force_ssl": "1"}},
    "log_exports": {"type": "list", "elements": "str", "default": ["postgresql"]},
    "data_api": {"type": "bool", "default": True},
    "iam_authentication": {"type": "bool", "default": True},
    "backup_days": {"type": "int", "default": 7},
    "rotation_days": {"type": "int", "default": 7},
    "deletion_protection": {"type": "bool", "default": True},
    "performance_insights": {"type": "bool", "default": False},
    "final_snapshot": {"type": "str"},
    "timeout": {"type": "int", "default": 1800},
    "tags": TAGS,
    "state": STATE,
}
REQUIRED = ["engine_version", "database", "kms_key", "subnet_group", "security_groups"]


def main() -> None:
    """Run the module."""
    run = Converge(SPEC, required_if=[("state", "present", REQUIRED)])
    rds = run.client("rds")
    group, cluster, instance = ParameterGroup(run, rds), Cluster(run, rds), Instance(run, rds)
    if run.params["state"] == "present":
        run.params["kms_key"] = key_arn(run)
        group.ensure()
        cluster.ensure()
        instance.ensure()
        Secret(run, cluster.secret_arn).ensure()
    else:
        instance.remove()
        cluster.remove()
        group.remove()
    run.exit(cluster=cluster.described(), secret_arn=cluster.secret_arn)


if __name__ == "__main__":
    main()
