"""A copy of a database on AWS for as long as one rehearsal: made, lent, and removed in every case.

Of an Aurora cluster it is a clone, which shares the storage until either writes; an RDS instance is
restored from its automated backups, which takes as long as it is large. Each has a password of its
own, a security group that only rehearsals reach, and a tag that says from when on it is forgotten:
the next rehearsal removes what was left by one that was killed.
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.Managing.Clone.html
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from runner.aws import calling
from runner.errors import ConfigurationError, Unreachable
from runner.signals import held

# Longer than any build may take that rehearses: one that still runs is not swept away.
_LIVES = timedelta(hours=9)
_EXPIRES = "ExpiresAt"
# Seconds. What AWS works at is asked about and waited for; an instance of many TB takes hours. Each
# of a clone's three states is seen so much later than it is there, and all of a rehearsal that is
# not the clone's own time is to take 30 at most, beside the files.
_DELAY, _PATIENCE = 5, 6 * 3600
_NOT_THERE = {"DBClusterNotFoundFault", "DBInstanceNotFound", "DBInstanceNotFoundFault"}
_BUSY = {"InvalidDBClusterStateFault", "InvalidDBInstanceState", "InvalidDBInstanceStateFault"}
_IN_VAIN = "a rehearsal cannot make its copy"

Document = dict[str, Any]


class Rehearsed(NamedTuple):
    """What a function for rehearsals says of itself, in its variables.

    `source` is the ARN of what it rehearses for, `group` the security group of copies, `key` that
    of their passwords; with `iam` the runner logs in with tokens, and a copy needs no secret.
    """

    source: str
    group: str
    key: str
    iam: bool

    @property
    def name(self) -> str:
        """The identifier of the source."""
        return self.source.rpartition(":")[2]


class Copy(NamedTuple):
    """Where a copy is, and which secret opens it."""

    host: str
    port: int
    secret_arn: str | None


def rehearsed(function: str, variables: Mapping[str, str]) -> Rehearsed:
    """Return what a function rehearses for.

    Raises:
        ConfigurationError: it is none for rehearsals.
    """
    names = ("REHEARSES", "REHEARSAL_GROUP", "REHEARSAL_KEY")
    if missing := [name for name in names if not variables.get(name)]:
        raise ConfigurationError(
            f"{function} is no function for rehearsals: it has no {', '.join(missing)}",
            fix="set rehearsal_wanted: true in the inventory, and deploy; its name ends with"
            " -rehearsal",
        )
    source, group, key = (variables[name] for name in names)
    return Rehearsed(source, group, key, iam=variables.get("DATABASE_IAM_AUTH") == "true")


@contextmanager
def cloned(of: Rehearsed, progress: Callable[[str], None]) -> Iterator[Copy]:
    """Give a copy that is removed whatever happens; first remove those that are forgotten.

    Parameters:
        progress: is told what happens, with times.

    Raises:
        Unreachable: AWS refuses to make or to remove it, or it does not become available.
        ConfigurationError: region or credentials are missing.
    """
    with calling(_IN_VAIN, may="rds:Restore… and what else the role of rehearsals may") as boto3:
        rds = boto3.Session().client("rds", region_name=of.source.split(":")[3])
        kind = _Clone if ":cluster:" in of.source else _Restored
        kind.sweep(rds, of, progress)
    copies = kind(rds, of, f"{of.name}-rehearsal-{secrets.token_hex(4)}")
    begun = time.monotonic()
    try:
        progress(f"making {copies.name}, {kind.said}")
        with _told(copies.name):
            copy = copies.make()
        progress(f"{copies.name} is there after {(time.monotonic() - begun) / 60:.0f} min")
        yield copy
    finally:
        with held(), _told(copies.name, removing=True):
            copies.remove()
            progress(f"{copies.name} is removed")


@contextmanager
def _told(name: str, *, removing: bool = False) -> Iterator[None]:
    """Tell what hinders a call about a copy."""
    from botocore.exceptions import WaiterError  # noqa: PLC0415

    what = f"{name} cannot be {'removed' if removing else 'made'}"
    with calling(what, may="what the role of rehearsals may"):
        try:
            yield
        except WaiterError as error:  # which is no fault of the caller's
            raise Unreachable(f"{what}: {error}", fix="see what RDS says of it") from error


class _Copies:
    """One copy, by its name; each kind is made, described and removed by requests of its own."""

    said = ""

    def __init__(self, rds: Any, of: Rehearsed, name: str) -> None:
        self.rds, self.of, self.name = rds, of, name

    def make(self) -> Copy:
        """Make it, and wait until it can be logged in to."""
        raise NotImplementedError

    def remove(self) -> None:
        """Remove it, as far as it was made. AWS goes on by itself."""
        raise NotImplementedError

    @classmethod
    def all(cls, rds: Any) -> Iterator[Document]:
        """Yield what there is of this kind, as RDS describes it."""
        raise NotImplementedError

    @classmethod
    def sweep(cls, rds: Any, of: Rehearsed, progress: Callable[[str], None]) -> None:
        """Remove the copies that are forgotten: ours by their names, and past their time."""
        now = datetime.now(UTC)
        for found in cls.all(rds):
            name = found.get("DBClusterIdentifier") or found["DBInstanceIdentifier"]
            if name.startswith(f"{of.name}-rehearsal-") and _expired(found, now):
                progress(f"removing {name}, which an earlier rehearsal left")
                cls(rds, of, name).remove()

    def common(self, source: Document) -> Document:
        """Return what the requests of both kinds say."""
        own = [tag for tag in source.get("TagList", []) if not tag["Key"].startswith("aws:")]
        expires = (datetime.now(UTC) + _LIVES).isoformat(timespec="seconds")
        return {
            "UseLatestRestorableTime": True,
            "VpcSecurityGroupIds": [self.of.group],
            "EnableIAMDatabaseAuthentication": self.of.iam,
            "DeletionProtection": False,
            "CopyTagsToSnapshot": True,
            "Tags": [*own, {"Key": _EXPIRES, "Value": expires}],
        }

    def wait(self, waiter: str, **key: str) -> None:
        """Wait for one of boto3's waiters."""
        patience = {"Delay": _DELAY, "MaxAttempts": _PATIENCE // _DELAY}
        self.rds.get_waiter(waiter).wait(**key, WaiterConfig=patience)


class _Clone(_Copies):
    """Of an Aurora cluster: it shares the storage, and has an instance of its own."""

    said = "a clone of the cluster; that takes 10 to 15 minutes"

    @property
    def key(self) -> dict[str, str]:
        return {"DBClusterIdentifier": self.name}

    @property
    def member(self) -> dict[str, str]:
        return {"DBInstanceIdentifier": f"{self.name}-1"}

    def make(self) -> Copy:
        """Clone, add an instance, and let RDS give it a password of its own."""
        clusters = self.rds.describe_db_clusters(DBClusterIdentifier=self.of.name)["DBClusters"]
        source: Document = clusters[0]
        asked = self.common(source)
        self.rds.restore_db_cluster_to_point_in_time(
            **self.key,
            **asked,
            SourceDBClusterIdentifier=self.of.name,
            RestoreType="copy-on-write",
            DBSubnetGroupName=source["DBSubnetGroup"],
            DBClusterParameterGroupName=source["DBClusterParameterGroup"],
            ServerlessV2ScalingConfiguration=_awake(source["ServerlessV2ScalingConfiguration"]),
        )
        self.wait("db_cluster_available", **self.key)
        self.rds.create_db_instance(
            **self.key,
            **self.member,
            DBInstanceClass="db.serverless",
            Engine=source["Engine"],
            PubliclyAccessible=False,
            Tags=asked["Tags"],
        )
        self.wait("db_instance_available", **self.member)
        return self._opened()

    def _opened(self) -> Copy:
        if not self.of.iam:
            self.rds.modify_db_cluster(
                **self.key,
                ManageMasterUserPassword=True,
                MasterUserSecretKmsKeyId=self.of.key,
                ApplyImmediately=True,
            )
        until = time.monotonic() + _PATIENCE
        while True:
            found: Document = self.rds.describe_db_clusters(**self.key)["DBClusters"][0]
            if found["Status"] == "available" and (self.of.iam or _active(found)):
                return Copy(found["Endpoint"], found["Port"], _secret(found))
            _wait_on(until, f"{self.name} got no password of its own: {found['Status']}")

    def remove(self) -> None:
        """Remove the instance, then the cluster, which may go as soon as that is going."""
        _removed(self.rds.delete_db_instance, **self.member, SkipFinalSnapshot=True)
        _removed(self.rds.delete_db_cluster, **self.key, SkipFinalSnapshot=True)

    @classmethod
    def all(cls, rds: Any) -> Iterator[Document]:
        """Yield the clusters."""
        for page in rds.get_paginator("describe_db_clusters").paginate():
            yield from page["DBClusters"]


class _Restored(_Copies):
    """Of an RDS instance: another one, restored from backups and log."""

    said = "restored from the instance's backups; that takes as long as it is large"

    @property
    def key(self) -> dict[str, str]:
        return {"DBInstanceIdentifier": self.name}

    def make(self) -> Copy:
        """Restore, with a password of its own."""
        of = {"DBInstanceIdentifier": self.of.name}
        source: Document = self.rds.describe_db_instances(**of)["DBInstances"][0]
        managed = {"ManageMasterUserPassword": True, "MasterUserSecretKmsKeyId": self.of.key}
        self.rds.restore_db_instance_to_point_in_time(
            **self.common(source),
            **({} if self.of.iam else managed),
            SourceDBInstanceIdentifier=self.of.name,
            TargetDBInstanceIdentifier=self.name,
            DBInstanceClass=source["DBInstanceClass"],
            DBSubnetGroupName=source["DBSubnetGroup"]["DBSubnetGroupName"],
            DBParameterGroupName=source["DBParameterGroups"][0]["DBParameterGroupName"],
            MultiAZ=False,
            PubliclyAccessible=False,
        )
        self.wait("db_instance_available", **self.key)
        found: Document = self.rds.describe_db_instances(**self.key)["DBInstances"][0]
        return Copy(found["Endpoint"]["Address"], found["Endpoint"]["Port"], _secret(found))

    def remove(self) -> None:
        """Remove it with its backups."""
        _removed(
            self.rds.delete_db_instance,
            **self.key,
            SkipFinalSnapshot=True,
            DeleteAutomatedBackups=True,
        )

    @classmethod
    def all(cls, rds: Any) -> Iterator[Document]:
        """Yield the instances that belong to no cluster."""
        for page in rds.get_paginator("describe_db_instances").paginate():
            yield from (one for one in page["DBInstances"] if not one.get("DBClusterIdentifier"))


def _awake(scaling: Document) -> Document:
    """Return the capacity of a clone: as the source's, but it does not pause while it is needed."""
    return {"MinCapacity": max(scaling["MinCapacity"], 0.5), "MaxCapacity": scaling["MaxCapacity"]}


def _active(found: Document) -> bool:
    return bool(found.get("MasterUserSecret", {}).get("SecretStatus") == "active")


def _secret(found: Document) -> str | None:
    arn: str | None = found.get("MasterUserSecret", {}).get("SecretArn")
    return arn


def _expired(found: Document, now: datetime) -> bool:
    """Return whether a copy says that its time is over; what says nothing is somebody's."""
    tags = {tag["Key"]: tag["Value"] for tag in found.get("TagList", [])}
    try:
        return datetime.fromisoformat(tags.get(_EXPIRES, "")) < now
    except (ValueError, TypeError):
        return False


def _removed(call: Callable[..., Document], **request: Any) -> None:
    """Remove something, as soon as AWS is done with what it does to it; what is gone is fine."""
    from botocore.exceptions import ClientError  # noqa: PLC0415

    until = time.monotonic() + _PATIENCE
    while True:
        try:
            call(**request)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _NOT_THERE or "being deleted" in str(error):
                return
            if code not in _BUSY:
                raise
            _wait_on(until, str(error))
        else:
            return


def _wait_on(until: float, why: str) -> None:
    """Pause before the next look, unless there was patience enough."""
    if time.monotonic() > until:
        raise Unreachable(why, fix="look at it in RDS, and rehearse again")
    time.sleep(_DELAY)
