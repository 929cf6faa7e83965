"""The options that aurora_cluster and postgres_instance share."""

from __future__ import annotations


class ModuleDocFragment:
    """What Ansible puts into the documentation of both modules."""

    DOCUMENTATION = r"""
options:
  name:
    description: Identifier of the database and its parameter group; an Aurora cluster's instance
      has C(-1) at its end.
    type: str
    required: true
  engine_version:
    description:
      - Version, as C(<major>.<minor>). A newer minor version than the one that runs is an upgrade.
      - An older one is left alone, for AWS upgrades by itself; another major one is refused.
    type: str
  database:
    description: Database made at the beginning.
    type: str
  master_username:
    description: Name of the master user.
    type: str
    default: postgres
  kms_key:
    description: ARN or alias of the key for storage, master secret and Performance Insights; it
      must exist.
    type: str
  subnet_group:
    description: Name of the subnet group.
    type: str
  security_groups:
    description: Ids of the security groups.
    type: list
    elements: str
    default: []
  parameters:
    description: Parameters that differ from AWS's defaults, by their names.
    type: dict
    default: {rds.force_ssl: "1"}
  log_exports:
    description: Logs to send to CloudWatch.
    type: list
    elements: str
    default: [postgresql]
  iam_authentication:
    description: Whether IAM database authentication is on.
    type: bool
    default: true
  backup_days:
    description: Days that automatic backups are kept, 1 to 35.
    type: int
    default: 7
  rotation_days:
    description: Days between rotations of the master password.
    type: int
    default: 7
  deletion_protection:
    description: Whether AWS refuses to delete the database.
    type: bool
    default: true
  performance_insights:
    description: Whether CloudWatch Database Insights (standard mode, seven days) gets the load by
      statement that Performance Insights counts.
    type: bool
    default: false
  apply:
    description: When a change that restarts the database, another version or instance class, takes
      effect. C(window) leaves it to the weekly maintenance window, and all other changes with it as
      long as it waits, for AWS makes all that wait at once; C(now) restarts the database.
    type: str
    choices: [window, now]
    default: window
  final_snapshot:
    description: With O(state=absent), identifier of a last snapshot; without it none is made.
    type: str
  timeout:
    description: Seconds to wait for each of cluster and instance.
    type: int
    default: 1800
  state:
    description: Whether the database is to exist. C(absent) is refused, and removes nothing, while
      deletion protection is on. With it go the copies that rehearsals left, whose names begin with
      its own and C(-rehearsal-).
    type: str
    choices: [present, absent]
    default: present
"""
