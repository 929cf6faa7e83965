"""What an Aurora cluster, its instance and a PostgreSQL instance have in common."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict
from ansible_collections.migrations.aws.plugins.module_utils.converge import (
    Converge,
    Document,
    difference,
    tag_dict,
    tag_list,
)
from ansible_collections.migrations.aws.plugins.module_utils.rds_versions import Versions

MISSING = ("DBClusterNotFoundFault", "DBInstanceNotFound", "DBInstanceNotFoundFault")
# A growing volume is optimized for hours, in which everything but its storage can be changed.
READY = ("available", "storage-optimization")
# What restarts the database when it changes.
RESTARTING = ("EngineVersion", "DBInstanceClass")
BROKEN = ("failed", "incompatible-network", "incompatible-parameters", "stopped", "stopping")


class Part:
    """One thing that RDS keeps, and that a run finds, makes, changes or removes."""

    kind = ""

    def __init__(self, run: Converge, rds: Any) -> None:
        self.run, self.rds, self.p = run, rds, run.params
        self.current: Document = self.find()

    def find(self) -> Document:
        """Return the part as RDS describes it, or an empty document."""
        raise NotImplementedError

    def note(self, before: Document, after: Document) -> None:
        """Add to the difference that --diff shows."""
        if before != after:
            self.run.before[self.kind], self.run.after[self.kind] = before, after


class Resource(Part):
    """A cluster or an instance: RDS's requests about either differ in one word."""

    status = "Status"

    @property
    def noun(self) -> str:
        """The word: Cluster or Instance."""
        return self.kind.capitalize()

    @property
    def name(self) -> str:
        """The resource's identifier."""
        return str(self.p["name"])

    @property
    def key(self) -> Document:
        """The identifier as requests take it."""
        return {f"DB{self.noun}Identifier": self.name}

    def operation(self, verb: str) -> Any:
        """Return the request to create, modify or delete it."""
        return getattr(self.rds, f"{verb}_db_{self.kind}")

    def find(self) -> Document:
        """Return the resource."""
        return self._first(self.run.read(self._describe, MISSING, **self.key) or {})

    @property
    def _describe(self) -> Any:
        return getattr(self.rds, f"describe_db_{self.kind}s")

    def _first(self, answer: Document) -> Document:
        return next(iter(answer.get(f"DB{self.noun}s", [])), {})

    def create(self, **request: Any) -> None:
        """Create the resource and wait until it is available."""
        request |= {"Tags": tag_list(self.p["tags"])}
        self.current = self.run.send(self.operation("create"), **self.key, **request).get(
            f"DB{self.noun}", {}
        )
        self.wait()

    def modify(self, *, now: bool = True, **changes: Any) -> None:
        """Send what differs, to be changed now or in the next maintenance window, and wait."""
        codes = ("InvalidDBClusterStateFault", "InvalidDBInstanceState")  # a change is going on
        self.run.send_when_ready(
            self.operation("modify"), codes, "", 30, ApplyImmediately=now, **self.key, **changes
        )
        self.wait(changes.get("EngineVersion") if now else None)

    def wait(self, version: str | None = None) -> None:
        """Wait until the resource is available, and at `version` if one is given."""

        def ready(answer: Document) -> bool:
            self.current = self._first(answer)
            status = self.current.get(self.status)
            if status in BROKEN:
                self.run.module.fail_json(msg=f"The {self.kind} {self.name} is {status}.")
            return status in READY and version in {None, self.current["EngineVersion"]}

        if not self.run.module.check_mode:
            timeout = self.p["timeout"]
            self.run.poll(self._describe, ready, delay=5, timeout=timeout, **self.key)

    def tag(self) -> None:
        """Add the tags that are missing or differ."""
        have = tag_dict(self.current.get("TagList", []))
        missing = {k: v for k, v in self.p["tags"].items() if have.get(k) != v}
        if missing:
            arn = self.current[f"DB{self.noun}Arn"]
            self.run.send(self.rds.add_tags_to_resource, ResourceName=arn, Tags=tag_list(missing))

    def remove(self, final_snapshot: str | None = None) -> None:
        """Delete the resource, with a last snapshot if one is named, and wait until it is gone."""
        if not self.current:
            return
        self.note({"present": True}, {})
        if self.current.get(self.status) != "deleting":
            last = {"FinalDBSnapshotIdentifier": final_snapshot} if final_snapshot else {}
            self.run.send(
                self.operation("delete"), SkipFinalSnapshot=not final_snapshot, **self.key, **last
            )
        waiter = f"db_{self.kind}_deleted"
        self.run.wait(self.rds, waiter, delay=5, timeout=self.p["timeout"], **self.key)
        self.current = {}


class Database(Resource):
    """What users connect to: a cluster, or an instance that belongs to none."""

    engine = ""

    def settings(self) -> Document:
        """Return what create and modify share, in the request's names."""
        return {
            "VpcSecurityGroupIds": sorted(self.p["security_groups"]),
            "EnableIAMDatabaseAuthentication": self.p["iam_authentication"],
            "BackupRetentionPeriod": self.p["backup_days"],
            "DeletionProtection": self.p["deletion_protection"],
            "CopyTagsToSnapshot": True,
            **insights(self.p),
        }

    def found_settings(self) -> Document:
        """Return what RDS has, in the request's names."""
        c = self.current
        groups = sorted(g["VpcSecurityGroupId"] for g in c.get("VpcSecurityGroups", []))
        return {
            "VpcSecurityGroupIds": groups,
            "EnableIAMDatabaseAuthentication": c.get("IAMDatabaseAuthenticationEnabled", False),
            "BackupRetentionPeriod": c.get("BackupRetentionPeriod"),
            "DeletionProtection": c.get("DeletionProtection", False),
            "CopyTagsToSnapshot": c.get("CopyTagsToSnapshot", False),
            "EngineVersion": c.get("EngineVersion"),
            **found_insights(c),
        }

    def creation(self) -> Document:
        """Return what is decided once, in the request's names."""
        return {
            "Engine": self.engine,
            "EngineVersion": self.p["engine_version"],
            "EngineLifecycleSupport": "open-source-rds-extended-support-disabled",
            "MasterUsername": self.p["master_username"],
            "ManageMasterUserPassword": True,
            "MasterUserSecretKmsKeyId": self.p["kms_key"],
            "StorageEncrypted": True,
            "KmsKeyId": self.p["kms_key"],
            "DBSubnetGroupName": self.p["subnet_group"],
            "EnableCloudwatchLogsExports": self.p["log_exports"],
        }

    def check(self) -> None:
        """End the module, before anything is made, if AWS would refuse what is asked for."""
        have, want = self.current.get("EngineVersion"), self.p["engine_version"]
        self.versions = Versions(self.run, self.rds, self.engine)
        self.upgrade = self.versions.upgrade(have, want)

    def ensure(self) -> None:
        """Create the database or send what differs, and wait until it is available."""
        if not self.current:
            self.note({}, self.settings())
            self.create(**self.creation(), **self.settings())
            return
        self.wait()  # an interrupted run may have left it busy
        found = {**self.found_settings(), **self.waiting}
        changes = difference(found, {**self.settings(), **self.upgrade})
        logs = self._log_changes()
        if logs:
            changes["CloudwatchLogsExportConfiguration"] = logs
        self.note({k: v for k, v in found.items() if k in changes}, dict(changes))
        self.apply(changes)
        self.tag()

    def apply(self, changes: Document) -> None:
        """Send the settings that differ, if any; what restarts the database may have to wait."""
        waits = self.p["apply"] == "window"
        later = {k: v for k, v in changes.items() if waits and k in RESTARTING}
        rest = {k: v for k, v in changes.items() if k not in later}
        if rest:
            self.modify(now=not self.waiting, **rest)
        if later:
            self.modify(now=False, **later)
            window = self.current.get("PreferredMaintenanceWindow")
            self.run.module.warn(
                f"{', '.join(later)} of {self.name} changes in the maintenance window ({window}, "
                "UTC), for it restarts the database. With database_apply: now it changes at once."
            )

    @property
    def waiting(self) -> Document:
        """What restarts the database and waits for the maintenance window, where it may wait.

        AWS makes all that waits with the next change that is to be made at once.
        """
        pending = self.current.get("PendingModifiedValues", {})
        return {k: pending[k] for k in RESTARTING if k in pending and self.p["apply"] == "window"}

    def _log_changes(self) -> Document:
        have = set(self.current.get("EnabledCloudwatchLogsExports", []))
        want = set(self.p["log_exports"])
        lists = {"EnableLogTypes": sorted(want - have), "DisableLogTypes": sorted(have - want)}
        return {key: value for key, value in lists.items() if value}

    def refuse_if_protected(self) -> None:
        """End the module, before anything is removed, if AWS would refuse to remove this."""
        if self.current.get("DeletionProtection"):
            self.run.module.fail_json(
                msg=f"The database {self.name} is protected from deletion, and nothing was removed."
                " If it is meant to go, set database_deletion_protection: false in the inventory,"
                " run playbooks/database.yml, and then this playbook again."
            )

    def remove_copies(self) -> None:
        """Delete what rehearsals left, which keeps the subnet group in use: ours by their names."""
        for found in self._copies():
            name = found[f"DB{self.noun}Identifier"]
            self.run.before.setdefault("copies", []).append(name)
            for member in found.get("DBClusterMembers", []):
                self._remove_copy("instance", member["DBInstanceIdentifier"])
            self._remove_copy(self.kind, name)

    def _copies(self) -> list[Document]:
        pages = self.run.read(
            self.rds.get_paginator(self._describe.__name__).paginate().build_full_result
        )
        return [
            one
            for one in (pages or {}).get(f"DB{self.noun}s", [])
            if one[f"DB{self.noun}Identifier"].startswith(f"{self.name}-rehearsal-")
            and (self.kind == "cluster" or not one.get("DBClusterIdentifier"))
        ]

    def _remove_copy(self, kind: str, name: str) -> None:
        key = {f"DB{kind.capitalize()}Identifier": name}
        self.run.send(getattr(self.rds, f"delete_db_{kind}"), SkipFinalSnapshot=True, **key)
        timeout = self.p["timeout"]
        self.run.wait(self.rds, f"db_{kind}_deleted", delay=5, timeout=timeout, **key)

    def described(self) -> Document:
        """Return the database in Ansible's spelling."""
        return dict(camel_dict_to_snake_dict(self.current, ignore_list=["TagList"]))

    @property
    def secret_arn(self) -> str:
        """The ARN of the master user's secret; empty before the database exists."""
        return str(self.current.get("MasterUserSecret", {}).get("SecretArn", ""))


def insights(params: Document) -> Document:
    """Return the request's part on Performance Insights.

    CloudWatch Database Insights has taken it over; its standard mode keeps seven days and costs
    nothing.
    """
    if not params["performance_insights"]:
        return {"EnablePerformanceInsights": False}
    return {
        "EnablePerformanceInsights": True,
        "PerformanceInsightsKMSKeyId": params["kms_key"],
        "PerformanceInsightsRetentionPeriod": 7,
        "DatabaseInsightsMode": "standard",
    }


def found_insights(current: Document) -> Document:
    """Return what RDS has of it, in the request's names."""
    names = ("PerformanceInsightsKMSKeyId", "PerformanceInsightsRetentionPeriod")
    return {
        "EnablePerformanceInsights": current.get("PerformanceInsightsEnabled", False),
        "DatabaseInsightsMode": current.get("DatabaseInsightsMode", "standard"),
        **{name: current.get(name) for name in names},
    }
