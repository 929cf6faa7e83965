"""What belongs to an Aurora PostgreSQL cluster: parameter group, instance, secret."""

from __future__ import annotations

from typing import Any

from ansible_collections.migrations.aws.plugins.module_utils.converge import (
    Converge,
    Document,
    tag_dict,
    tag_list,
)

ENGINE = "aurora-postgresql"
NO_INSTANCE = ("DBInstanceNotFound", "DBInstanceNotFoundFault")
NO_GROUP = (
    "DBParameterGroupNotFound",
    "DBClusterParameterGroupNotFound",
    "DBClusterParameterGroupNotFoundFault",
)


def key_arn(run: Converge) -> str:
    """Return the ARN of the key that is to encrypt storage and secret; end the module without it.

    RDS answers with the ARN, whatever it was asked with.
    """
    name = run.params["kms_key"]
    found = run.read(run.client("kms").describe_key, ("NotFoundException",), KeyId=name)
    key = (found or {}).get("KeyMetadata", {"KeyState": "missing"})
    if key["KeyState"] != "Enabled":
        run.module.fail_json(
            msg=f"The key {name} is needed, and it is {key['KeyState']}. Bootstrap makes it: run "
            "playbooks/bootstrap.yml of this inventory with an administrator's credentials."
        )
    return str(key["Arn"])


class Part:
    """What cluster, instance and parameter group have in common."""

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

    def tag(self, arn: str, found: list[Document]) -> None:
        """Add the tags that are missing or differ."""
        have = tag_dict(found)
        missing = {k: v for k, v in self.p["tags"].items() if have.get(k) != v}
        if missing:
            self.run.send(self.rds.add_tags_to_resource, ResourceName=arn, Tags=tag_list(missing))


class ParameterGroup(Part):
    """The cluster's own parameters."""

    kind = "parameter group"

    def find(self) -> Document:
        """Return the group."""
        answer = self.run.read(
            self.rds.describe_db_cluster_parameter_groups,
            NO_GROUP,
            DBClusterParameterGroupName=self.p["name"],
        )
        return next(iter((answer or {}).get("DBClusterParameterGroups", [])), {})

    def ensure(self) -> None:
        """Create the group and set the parameters that differ."""
        name = {"DBClusterParameterGroupName": self.p["name"]}
        if not self.current:
            self.run.send(
                self.rds.create_db_cluster_parameter_group,
                DBParameterGroupFamily=f"{ENGINE}{self.p['engine_version'].split('.')[0]}",
                Description=f"Parameters of the cluster {self.p['name']}",
                Tags=tag_list(self.p["tags"]),
                **name,
            )
        have = self._values() if self.current else {}
        wrong = {k: str(v) for k, v in self.p["parameters"].items() if have.get(k) != str(v)}
        self.note({k: have.get(k) for k in wrong}, dict(wrong))
        if wrong:
            # A static parameter accepts no other method; a dynamic one can wait as well.
            changes = [
                {"ParameterName": k, "ParameterValue": v, "ApplyMethod": "pending-reboot"}
                for k, v in wrong.items()
            ]
            self.run.send(self.rds.modify_db_cluster_parameter_group, Parameters=changes, **name)

    def _values(self) -> dict[str, str]:
        """Return the parameters that someone has set."""
        request: Document = {"DBClusterParameterGroupName": self.p["name"], "Source": "user"}
        answer = self.run.read(self.rds.describe_db_cluster_parameters, **request) or {}
        return {
            p["ParameterName"]: p.get("ParameterValue", "") for p in answer.get("Parameters", [])
        }

    def remove(self) -> None:
        """Delete the group; the cluster must be gone."""
        if self.current:
            self.run.send(
                self.rds.delete_db_cluster_parameter_group,
                DBClusterParameterGroupName=self.p["name"],
            )


class Instance(Part):
    """The cluster's one instance."""

    kind = "instance"

    @property
    def name(self) -> str:
        """The instance's identifier."""
        return f"{self.p['name']}-1"

    def find(self) -> Document:
        """Return the instance."""
        answer = self.run.read(
            self.rds.describe_db_instances, NO_INSTANCE, DBInstanceIdentifier=self.name
        )
        return next(iter((answer or {}).get("DBInstances", [])), {})

    def ensure(self) -> None:
        """Create the instance or send what differs, and wait until it is available."""
        insights = self.p["performance_insights"]
        if not self.current:
            self.note({}, {"DBInstanceClass": "db.serverless"})
            self.run.send(
                self.rds.create_db_instance,
                DBInstanceIdentifier=self.name,
                DBClusterIdentifier=self.p["name"],
                DBInstanceClass="db.serverless",
                Engine=ENGINE,
                PubliclyAccessible=False,
                AutoMinorVersionUpgrade=True,
                EnablePerformanceInsights=insights,
                Tags=tag_list(self.p["tags"]),
            )
        elif self.current.get("PerformanceInsightsEnabled", False) != insights:
            self.note(
                {"EnablePerformanceInsights": not insights}, {"EnablePerformanceInsights": insights}
            )
            self.run.send(
                self.rds.modify_db_instance,
                DBInstanceIdentifier=self.name,
                EnablePerformanceInsights=insights,
                ApplyImmediately=True,
            )
        else:
            self.tag(self.current["DBInstanceArn"], self.current.get("TagList", []))
        if self.run.changed or self.current.get("DBInstanceStatus") != "available":
            self.run.wait(
                self.rds,
                "db_instance_available",
                delay=5,
                timeout=self.p["timeout"],
                DBInstanceIdentifier=self.name,
            )

    def remove(self) -> None:
        """Delete the instance and wait until it is gone, for the cluster can't go before."""
        if not self.current:
            return
        if self.current.get("DBInstanceStatus") != "deleting":
            self.run.send(
                self.rds.delete_db_instance, DBInstanceIdentifier=self.name, SkipFinalSnapshot=True
            )
        self.run.wait(
            self.rds,
            "db_instance_deleted",
            delay=5,
            timeout=self.p["timeout"],
            DBInstanceIdentifier=self.name,
        )


class Secret:
    """The schedule of the secret that RDS keeps for the cluster."""

    def __init__(self, run: Converge, arn: str) -> None:
        self.run, self.arn = run, arn
        self.secrets = run.client("secretsmanager")

    def ensure(self) -> None:
        """Set the days between rotations; RDS does the rotating."""
        days = self.run.params["rotation_days"]
        found = (
            (self.run.read(self.secrets.describe_secret, SecretId=self.arn) or {})
            if self.arn
            else {}
        )
        have = found.get("RotationRules", {}).get("AutomaticallyAfterDays")
        if found and have != days:
            self.run.before["rotation days"], self.run.after["rotation days"] = have, days
            rules = {"AutomaticallyAfterDays": days}
            self.run.send(
                self.secrets.rotate_secret,
                SecretId=self.arn,
                RotationRules=rules,
                RotateImmediately=False,
            )
