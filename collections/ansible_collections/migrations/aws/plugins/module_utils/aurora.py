"""An Aurora PostgreSQL cluster and its one instance."""

from __future__ import annotations

from ansible_collections.migrations.aws.plugins.module_utils.converge import Document, difference
from ansible_collections.migrations.aws.plugins.module_utils.rds import (
    Database,
    Resource,
    found_insights,
    insights,
)

ENGINE = "aurora-postgresql"


class Cluster(Database):
    """The cluster."""

    kind = "cluster"
    engine = ENGINE

    def settings(self) -> Document:
        """Return what create and modify share, in the request's names."""
        scaling: Document = {
            "MinCapacity": self.p["min_capacity"],
            "MaxCapacity": self.p["max_capacity"],
        }
        if not self.p["min_capacity"]:
            scaling["SecondsUntilAutoPause"] = self.p["pause_after"]
        return {
            **super().settings(),
            "DBClusterParameterGroupName": self.p["name"],
            "ServerlessV2ScalingConfiguration": scaling,
            "EnableHttpEndpoint": self.p["data_api"],
        }

    def found_settings(self) -> Document:
        """Return what RDS has, in the request's names."""
        c = self.current
        return {
            **super().found_settings(),
            "DBClusterParameterGroupName": c.get("DBClusterParameterGroup"),
            "ServerlessV2ScalingConfiguration": c.get("ServerlessV2ScalingConfiguration", {}),
            "EnableHttpEndpoint": c.get("HttpEndpointEnabled", False),
        }

    def creation(self) -> Document:
        """Return what is decided once, in the request's names."""
        return {**super().creation(), "DatabaseName": self.p["database"]}

    def check(self) -> None:
        """End the module, before anything is made, if AWS would refuse what is asked for."""
        super().check()
        found = self.current.get("ServerlessV2ScalingConfiguration", {}).get("MinCapacity")
        if self.p["min_capacity"] == 0 and found != 0:
            running = self.current.get("EngineVersion")
            self.versions.refuse_to_pause(str(self.upgrade.get("EngineVersion", running)))

    def apply(self, changes: Document) -> None:
        """Send the settings that differ, if any."""
        # modify ignores EnableHttpEndpoint for Serverless v2; the Data API has its own requests.
        data_api = changes.pop("EnableHttpEndpoint", None)
        super().apply(changes)
        if data_api is not None:
            call = self.rds.enable_http_endpoint if data_api else self.rds.disable_http_endpoint
            self.run.send(call, ResourceArn=self.current["DBClusterArn"])
            self.wait()


class Member(Resource):
    """The cluster's one instance."""

    kind = "instance"
    status = "DBInstanceStatus"

    @property
    def name(self) -> str:
        """The instance's identifier."""
        return f"{self.p['name']}-1"

    def ensure(self) -> None:
        """Create the instance or send what differs, and wait until it is available."""
        wanted = insights(self.p)
        wanted.pop("DatabaseInsightsMode", None)  # the cluster's
        if not self.current:
            self.note({}, {"DBInstanceClass": "db.serverless"})
            self.create(
                DBClusterIdentifier=self.p["name"],
                DBInstanceClass="db.serverless",
                Engine=ENGINE,
                PubliclyAccessible=False,
                AutoMinorVersionUpgrade=True,
                **wanted,
            )
            return
        self.wait()
        found = found_insights(self.current)
        changes = difference(found, wanted)
        self.note({k: found[k] for k in changes}, changes)
        if changes:
            self.modify(**changes)
        self.tag()
