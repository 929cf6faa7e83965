"""An RDS PostgreSQL instance that belongs to no cluster."""

from __future__ import annotations

from ansible_collections.migrations.aws.plugins.module_utils.converge import Document
from ansible_collections.migrations.aws.plugins.module_utils.rds import Database

ENGINE = "postgres"


class Instance(Database):
    """The instance, in one zone or with a standby in a second one."""

    kind = "instance"
    status = "DBInstanceStatus"
    engine = ENGINE

    def settings(self) -> Document:
        """Return what create and modify share, in the request's names.

        Storage can only grow, and AWS makes small steps larger: more than asked for is right.
        """
        return {
            **super().settings(),
            "DBParameterGroupName": self.p["name"],
            "DBInstanceClass": self.p["instance_class"],
            "AllocatedStorage": max(self.p["storage"], self.current.get("AllocatedStorage", 0)),
            "StorageType": "gp3",
            "MultiAZ": self.p["multi_az"],
            "PubliclyAccessible": False,
        }

    def found_settings(self) -> Document:
        """Return what RDS has, in the request's names."""
        c = self.current
        groups = [g["DBParameterGroupName"] for g in c.get("DBParameterGroups", [])]
        same = ("DBInstanceClass", "AllocatedStorage", "StorageType")
        return {
            **super().found_settings(),
            **{name: c.get(name) for name in same},
            "DBParameterGroupName": next(iter(groups), None),
            "MultiAZ": c.get("MultiAZ", False),
            "PubliclyAccessible": c.get("PubliclyAccessible", False),
        }

    def creation(self) -> Document:
        """Return what is decided once, in the request's names."""
        return {
            **super().creation(),
            "DBName": self.p["database"],
            "AutoMinorVersionUpgrade": True,
        }
