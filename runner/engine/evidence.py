"""What is known of files before they come here: that they were proved, and applied elsewhere."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from runner.errors import ConfigurationError, Refused


class Evidence(NamedTuple):
    """Digests of the files that were proved and that another environment applied, as it is told.

    `without`: why it is to be done without them, for a person in an emergency.
    """

    proved: str | None = None
    promoted: str | None = None
    without: str | None = None

    def hold(self, files: Collection[str]) -> dict[str, dict[str, str]]:
        """Return what the history is to say: why nothing is asked for, where all is not told.

        Parameters:
            files: the digests that these files go by, of which one is told.

        Raises:
            Refused: other files were proved, or applied.
            ConfigurationError: there is evidence, and it is to be done without.
        """
        told = {"proved by verify": self.proved, "applied before": self.promoted}
        if self.without is not None:
            if any(told.values()):
                raise ConfigurationError(
                    "--without-evidence and evidence exclude each other",
                    fix="leave out --without-evidence",
                )
            return {"without-evidence": {"why": self.without}}
        for what, digest in told.items():
            if digest is not None and digest not in files:
                raise Refused(
                    f"these are not the files that were {what}",
                    details=(f"{what}: {digest}", f"here: {', '.join(sorted(files))}"),
                    fix="let the pipeline carry them from its beginning",
                )
        return {}
