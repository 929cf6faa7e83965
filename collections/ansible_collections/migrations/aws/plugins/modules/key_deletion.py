#!/usr/bin/python
"""Ansible module: a key that goes, unless it opens a database or a snapshot."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.migrations.aws.plugins.module_utils.converge import Converge, Document

DOCUMENTATION = r"""
module: key_deletion
short_description: Schedule the deletion of a KMS key that opens no database and no snapshot
description:
  - Looks for the clusters, instances and snapshots of RDS that are encrypted with the key, whatever
    their names are. A key that opens one of them stays, and the module says which.
  - A key is never deleted at once. Until its day it can be taken back, and with it everything that
    it opens, by making sure that it exists.
  - Instead of M(amazon.aws.kms_key). There the deletion of a key is scheduled without a look at
    what it opens, by which the last snapshot of a database is lost.
options:
  alias:
    description: Alias of the key, as C(alias/shop-database).
    type: str
    required: true
  days:
    description: Days until the key is deleted, 7 to 30.
    type: int
    default: 30
  snapshots_go:
    description: Whether the key goes although it opens snapshots, which nothing opens afterwards.
    type: bool
    default: false
extends_documentation_fragment:
  - migrations.aws.converge
"""

EXAMPLES = r"""
- name: Schedule the deletion of the database's key
  migrations.aws.key_deletion:
    alias: alias/shop-dev-database
"""

RETURN = r"""
stays:
  description: Whether there is a key that opens something, for which it stays.
  returned: always
  type: bool
databases:
  description: Names of the clusters and instances that the key opens.
  returned: always
  type: list
  elements: str
snapshots:
  description: Names of the snapshots that the key opens.
  returned: always
  type: list
  elements: str
"""

SPEC = {
    "alias": {"type": "str", "required": True},
    "days": {"type": "int", "default": 30},
    "snapshots_go": {"type": "bool", "default": False},
}
# What RDS encrypts: the operation, where its answer has the list, and what names one of it.
DATABASES = (
    ("describe_db_clusters", "DBClusters", "DBClusterIdentifier"),
    ("describe_db_instances", "DBInstances", "DBInstanceIdentifier"),
)
SNAPSHOTS = (
    ("describe_db_cluster_snapshots", "DBClusterSnapshots", "DBClusterSnapshotIdentifier"),
    ("describe_db_snapshots", "DBSnapshots", "DBSnapshotIdentifier"),
)


def opened(run: Converge, key: Document, kinds: tuple[tuple[str, str, str], ...]) -> Iterator[str]:
    """Give the names of what RDS encrypted with a key, as far as it is of these kinds."""
    rds = run.client("rds")
    for operation, found, name in kinds:
        request: dict[str, str] = {}
        while True:
            answer = run.read(getattr(rds, operation), **request) or {}
            yield from (one[name] for one in answer[found] if one.get("KmsKeyId") == key["Arn"])
            if not answer.get("Marker"):
                break
            request["Marker"] = answer["Marker"]


def main() -> None:
    """Run the module."""
    run = Converge(SPEC)
    kms = run.client("kms")
    answer = run.read(kms.describe_key, ("NotFoundException",), KeyId=run.params["alias"])
    key: Document = (answer or {}).get("KeyMetadata", {})
    if not key or key["KeyState"] == "PendingDeletion":
        run.exit(stays=False, databases=[], snapshots=[])
    databases = sorted(opened(run, key, DATABASES))
    snapshots = sorted(opened(run, key, SNAPSHOTS))
    stays = bool(databases or (snapshots and not run.params["snapshots_go"]))
    if not stays:
        run.before, run.after = {"state": key["KeyState"]}, {"state": "PendingDeletion"}
        run.send(
            kms.schedule_key_deletion, KeyId=key["Arn"], PendingWindowInDays=run.params["days"]
        )
    run.exit(stays=stays, databases=databases, snapshots=snapshots)


if __name__ == "__main__":
    main()
