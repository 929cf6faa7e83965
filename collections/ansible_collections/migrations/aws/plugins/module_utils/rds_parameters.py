"""A parameter group of a cluster's or an instance's own."""

from __future__ import annotations

from typing import Any

from ansible_collections.migrations.aws.plugins.module_utils.converge import (
    Converge,
    Document,
    tag_list,
)
from ansible_collections.migrations.aws.plugins.module_utils.rds import Part

MISSING = (
    "DBParameterGroupNotFound",
    "DBParameterGroupNotFoundFault",
    "DBClusterParameterGroupNotFound",
    "DBClusterParameterGroupNotFoundFault",
)


class ParameterGroup(Part):
    """The parameters, in a group that has the database's name."""

    kind = "parameter group"

    def __init__(self, run: Converge, rds: Any, engine: str, scope: str = "") -> None:
        """Take the engine for the group's family, and `Cluster` as scope of a cluster's group."""
        self.engine, self.scope = engine, scope
        super().__init__(run, rds)

    @property
    def key(self) -> Document:
        """The identifier as requests take it."""
        return {f"DB{self.scope}ParameterGroupName": self.p["name"]}

    def operation(self, verb: str, what: str = "parameter_group") -> Any:
        """Return the request about the group or its parameters."""
        return getattr(self.rds, "_".join(filter(None, (verb, "db", self.scope.lower(), what))))

    def find(self) -> Document:
        """Return the group."""
        describe = self.operation("describe", "parameter_groups")
        answer = self.run.read(describe, MISSING, **self.key) or {}
        return next(iter(answer.get(f"DB{self.scope}ParameterGroups", [])), {})

    def ensure(self) -> None:
        """Create the group and set the parameters that differ."""
        if not self.current:
            self.run.send(
                self.operation("create"),
                DBParameterGroupFamily=f"{self.engine}{self.p['engine_version'].split('.')[0]}",
                Description=f"Parameters of {self.p['name']}",
                Tags=tag_list(self.p["tags"]),
                **self.key,
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
            self.run.send(self.operation("modify"), Parameters=changes, **self.key)

    def _values(self) -> dict[str, str]:
        """Return the parameters that someone has set."""
        request: Document = {**self.key, "Source": "user"}
        answer = self.run.read(self.operation("describe", "parameters"), **request) or {}
        return {
            p["ParameterName"]: p.get("ParameterValue", "") for p in answer.get("Parameters", [])
        }

    def remove(self) -> None:
        """Delete the group; what uses it must be gone."""
        if self.current:
            self.run.send(self.operation("delete"), **self.key)
