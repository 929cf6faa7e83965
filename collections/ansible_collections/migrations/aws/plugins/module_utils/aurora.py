"""An Aurora PostgreSQL cluster, described, compared and brought in line."""

from __future__ import annotations

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict
from ansible_collections.migrations.aws.plugins.module_utils.aurora_parts import ENGINE, Part
from ansible_collections.migrations.aws.plugins.module_utils.converge import (
    Document,
    difference,
    tag_list,
)

NO_CLUSTER = ("DBClusterNotFoundFault",)


class Cluster(Part):
    """The cluster."""

    kind = "cluster"

    def find(self) -> Document:
        """Return the cluster."""
        answer = self.run.read(
            self.rds.describe_db_clusters, NO_CLUSTER, DBClusterIdentifier=self.p["name"]
        )
        return next(iter((answer or {}).get("DBClusters", [])), {})

    def described(self) -> Document:
        """Return the cluster in Ansible's spelling."""
        return dict(camel_dict_to_snake_dict(self.current, ignore_list=["TagList"]))

    @property
    def secret_arn(self) -> str:
        """The ARN of the master user's secret; empty before the cluster exists."""
        return str(self.current.get("MasterUserSecret", {}).get("SecretArn", ""))

    def settings(self) -> Document:
        """Return what create and modify share, in the request's names."""
        scaling: Document = {
            "MinCapacity": self.p["min_capacity"],
            "MaxCapacity": self.p["max_capacity"],
        }
        if not self.p["min_capacity"]:
            scaling["SecondsUntilAutoPause"] = self.p["pause_after"]
        return {
            "DBClusterParameterGroupName": self.p["name"],
            "VpcSecurityGroupIds": sorted(self.p["security_groups"]),
            "ServerlessV2ScalingConfiguration": scaling,
            "EnableHttpEndpoint": self.p["data_api"],
            "EnableIAMDatabaseAuthentication": self.p["iam_authentication"],
            "BackupRetentionPeriod": self.p["backup_days"],
            "DeletionProtection": self.p["deletion_protection"],
            "CopyTagsToSnapshot": True,
        }

    def found_settings(self) -> Document:
        """Return what RDS has, in the request's names."""
        c = self.current
        return {
            "DBClusterParameterGroupName": c.get("DBClusterParameterGroup"),
            "VpcSecurityGroupIds": sorted(
                g["VpcSecurityGroupId"] for g in c.get("VpcSecurityGroups", [])
            ),
            "ServerlessV2ScalingConfiguration": c.get("ServerlessV2ScalingConfiguration", {}),
            "EnableHttpEndpoint": c.get("HttpEndpointEnabled", False),
            "EnableIAMDatabaseAuthentication": c.get("IAMDatabaseAuthenticationEnabled", False),
            "BackupRetentionPeriod": c.get("BackupRetentionPeriod"),
            "DeletionProtection": c.get("DeletionProtection", False),
            "CopyTagsToSnapshot": c.get("CopyTagsToSnapshot", False),
        }

    def ensure(self) -> None:
        """Create the cluster or send what differs, and wait until it is available."""
        if self.current:
            self._wait()  # an interrupted run may have left it busy
            self._modify()
        else:
            self._create()

    def _create(self) -> None:
        self.note({}, self.settings())
        answer = self.run.send(
            self.rds.create_db_cluster,
            DBClusterIdentifier=self.p["name"],
            Engine=ENGINE,
            EngineVersion=self.p["engine_version"],
            EngineLifecycleSupport="open-source-rds-extended-support-disabled",
            DatabaseName=self.p["database"],
            MasterUsername=self.p["master_username"],
            ManageMasterUserPassword=True,
            MasterUserSecretKmsKeyId=self.p["kms_key"],
            StorageEncrypted=True,
            KmsKeyId=self.p["kms_key"],
            DBSubnetGroupName=self.p["subnet_group"],
            EnableCloudwatchLogsExports=self.p["log_exports"],
            Tags=tag_list(self.p["tags"]),
            **self.settings(),
        )
        self.current = answer.get("DBCluster", {})
        self._wait()

    def _modify(self) -> None:
        changes = difference(self.found_settings(), self.settings())
        # modify ignores EnableHttpEndpoint for Serverless v2; the Data API has its own requests.
        data_api = changes.pop("EnableHttpEndpoint", None)
        self._refuse_major_upgrade()
        logs = self._log_changes()
        if logs:
            changes["CloudwatchLogsExportConfiguration"] = logs
        before = {k: v for k, v in self.found_settings().items() if k in changes}
        self.note(before, dict(changes))
        if changes:
            self.run.send(
                self.rds.modify_db_cluster,
                DBClusterIdentifier=self.p["name"],
                ApplyImmediately=True,
                **changes,
            )
        if data_api is not None:
            self.note({"EnableHttpEndpoint": not data_api}, {"EnableHttpEndpoint": data_api})
            call = self.rds.enable_http_endpoint if data_api else self.rds.disable_http_endpoint
            self.run.send(call, ResourceArn=self.current["DBClusterArn"])
        if changes or data_api is not None:
            self._wait()
        self.tag(self.current["DBClusterArn"], self.current.get("TagList", []))

    def _refuse_major_upgrade(self) -> None:
        have, want = self.current["EngineVersion"], self.p["engine_version"]
        if have.split(".")[0] != want.split(".")[0]:
            self.run.module.fail_json(
                msg=f"The cluster {self.p['name']} is version {have}, and {want} is wanted. A "
                "major upgrade needs a plan of its own and is not made here: upgrade the "
                "cluster, then set the version in the inventory."
            )

    def _log_changes(self) -> Document:
        have, want = (
            set(self.current.get("EnabledCloudwatchLogsExports", [])),
            set(self.p["log_exports"]),
        )
        lists = {"EnableLogTypes": sorted(want - have), "DisableLogTypes": sorted(have - want)}
        return {key: value for key, value in lists.items() if value}

    def _wait(self) -> None:
        self.run.wait(
            self.rds,
            "db_cluster_available",
            delay=5,
            timeout=self.p["timeout"],
            DBClusterIdentifier=self.p["name"],
        )
        self.current = self.find()

    def remove(self) -> None:
        """Delete the cluster, with a last snapshot if one is named."""
        if not self.current:
            return
        name = self.p["final_snapshot"]
        snapshot = {"FinalDBSnapshotIdentifier": name} if name else {}
        self.note({"present": True}, {})
        if self.current.get("Status") != "deleting":
            self.run.send(
                self.rds.delete_db_cluster,
                DBClusterIdentifier=self.p["name"],
                SkipFinalSnapshot=not name,
                **snapshot,
            )
        self.run.wait(
            self.rds,
            "db_cluster_deleted",
            delay=5,
            timeout=self.p["timeout"],
            DBClusterIdentifier=self.p["name"],
        )
        self.current = {}
