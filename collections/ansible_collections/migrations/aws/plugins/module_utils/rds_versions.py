"""Engine versions: which a region offers, and which way from the one that runs."""

from __future__ import annotations

import re
from typing import Any, NoReturn

from ansible_collections.migrations.aws.plugins.module_utils.converge import Converge, Document

Version = tuple[int, ...]
VARIABLE = "database_engine_version"
# Where AWS does not tell: the first versions of each major that can pause at 0 ACU.
PAUSING: dict[int, Version] = {13: (13, 15), 14: (14, 12), 15: (15, 7), 16: (16, 3), 17: (17, 4)}


def parse(text: str) -> Version | None:
    """Return a version's numbers; None for a special edition such as `16.9-limitless`."""
    return tuple(map(int, text.split("."))) if re.fullmatch(r"\d+(\.\d+)+", text) else None


class Versions:
    """The versions of one engine that the region offers, asked for when they matter."""

    def __init__(self, run: Converge, rds: Any, engine: str) -> None:
        self.run, self.rds, self.engine = run, rds, engine
        self._offered: dict[Version, Document] | None = None

    @property
    def offered(self) -> dict[Version, Document]:
        """What RDS says of each version it offers."""
        if self._offered is None:
            self._offered = {}
            request = {"Engine": self.engine}
            while True:
                answer = self.run.read(self.rds.describe_db_engine_versions, **request) or {}
                for one in answer["DBEngineVersions"]:
                    if version := parse(one["EngineVersion"]):
                        self._offered[version] = one
                if not answer.get("Marker"):
                    break
                request["Marker"] = answer["Marker"]
        return self._offered

    def upgrade(self, have: str | None, want: str) -> Document:
        """Return the upgrade to send; none if what runs is as new as the inventory or newer.

        Ends the module if the version is malformed, not offered, or of another major.
        """
        wanted, running = parse(want), parse(have or "")
        if wanted is None:
            self._refuse(f"{want} is no version: {VARIABLE} is <major>.<minor>, such as 17.7.")
        if running and running[0] != wanted[0]:
            self._refuse(
                f"The database is version {have}, and {want} is wanted. A major upgrade needs a "
                f"plan of its own and is not made here: upgrade the database, then set {VARIABLE}."
            )
        if running and running >= wanted:
            return {}
        if wanted not in self.offered:
            choice = ", ".join(self._major(wanted[0])) or f"no version {wanted[0]} is"
            self._refuse(
                f"{self.engine} {want} is not offered in this region. Set {VARIABLE} in the "
                f"inventory to one that is: {choice}."
            )
        return {"EngineVersion": want}

    def refuse_to_pause(self, version: str) -> None:
        """End the module if this version cannot go down to 0 ACU."""
        wanted = parse(version) or (0,)
        told = self.offered.get(wanted, {}).get("ServerlessV2FeaturesSupport", {})
        documented = wanted >= PAUSING.get(wanted[0], (18,))
        if told.get("MinCapacity", 0 if documented else 0.5) > 0:
            self._refuse(
                f"{self.engine} {version} cannot pause: set database_min_capacity to 0.5 or more, "
                f"or {VARIABLE} to 13.15, 14.12, 15.7, 16.3, 17.4 or later."
            )

    def _major(self, major: int) -> list[str]:
        """Return the offered versions of a major, the newest last."""
        return [one["EngineVersion"] for v, one in sorted(self.offered.items()) if v[0] == major]

    def _refuse(self, why: str) -> NoReturn:
        self.run.module.fail_json(msg=why)
        raise AssertionError
