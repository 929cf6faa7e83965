"""The copy of a database from before a run that may lose what no undo brings back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from runner.errors import ConfigurationError, Refused, RunnerError
from runner.report.wording import and_more

# Of a cluster or of an instance: "Amazon Resource Names in Amazon RDS", User Guide.
_ARN = re.compile(r"arn:aws[a-z-]*:rds:[a-z0-9-]+:[0-9]{12}:(?:cluster-)?snapshot:[A-Za-z0-9:-]+")
_SOME = 5  # files in a message


def snapshot_arn(text: str) -> str | None:
    """Return the ARN of a snapshot as it is, None where the text says that there is none.

    Raises:
        ConfigurationError: it is none.
    """
    if text == "none":
        return None
    if not _ARN.fullmatch(text):
        raise ConfigurationError(
            f"{text!r} is not the ARN of a snapshot",
            fix="it is like arn:aws:rds:eu-central-1:111122223333:cluster-snapshot:name, or none",
        )
    return text


class Snapshot(NamedTuple):
    """That of before a run; `required`: without one nothing runs that may lose data."""

    arn: str | None = None
    required: bool = False

    @property
    def missing(self) -> bool:
        """Whether one is required and there is none."""
        return self.required and self.arn is None

    def refuse(self, lost: Sequence[str]) -> None:
        """Refuse to go on without one, if something may be lost.

        Parameters:
            lost: names of the files that may lose what no undo brings back.

        Raises:
            Refused: with these names.
        """
        if not lost:
            return
        named = and_more(lost[:_SOME], len(lost[_SOME:]), "files")
        raise Refused(
            "this may lose what no undo brings back, and no snapshot was taken before:"
            f" {', '.join(named)}",
            fix="take one (ansible-playbook playbooks/snapshot.yml -i inventories/…) and pass the"
            " ARN that it says with --snapshot; the pipeline does both",
        )

    @property
    def remarks(self) -> dict[str, dict[str, str]]:
        """What the history says of it."""
        return {"snapshot": {"arn": self.arn}} if self.arn else {}

    @contextmanager
    def advised(self) -> Iterator[None]:
        """Let an error say from where the database can be had as it was before."""
        try:
            yield
        except RunnerError as error:
            if self.arn:
                error.details += (f"the database as it was before this run: {self.arn}",)
            raise


NONE = Snapshot()
