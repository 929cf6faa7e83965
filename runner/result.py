"""The result of one invocation: a document with a version, the same from CLI and Lambda."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from runner.engine.job import Done, Job
from runner.errors import MigrationFailed, RunnerError

VERSION = 1

# The outcomes that a pipeline may take for success; anything else is red.
SUCCESS = frozenset({"applied", "noop"})


class Result:
    """Gathers what a run did; `document()` is what the world sees.

    Outcomes: "applied" (something was done), "noop" (nothing was to do), "planned" (a dry run),
    "incomplete" (stopped at the deadline, run again), "failed".
    """

    def __init__(self, command: str, run_id: str):
        self.command = command
        self.run_id = run_id
        self.target: dict[str, Any] = {}
        self.applied: list[dict[str, Any]] = []
        self.pending: list[dict[str, Any]] = []
        self.warnings: list[str] = []
        self.data: Any = None
        self.planned = False
        self.changed = False
        self.error: RunnerError | None = None
        self._started = datetime.now(UTC)
        self._clock = time.monotonic()

    @property
    def outcome(self) -> str:
        """One word for what came of it."""
        if self.error:
            return "incomplete" if self.error.kind == "incomplete" else "failed"
        if self.planned:
            return "planned"
        return "applied" if self.applied or self.changed else "noop"

    @property
    def exit_code(self) -> int:
        """The documented exit code."""
        return self.error.exit_code if self.error else 0

    def done(self, job: Job, done: Done) -> None:
        """Take a job that was applied and recorded, with the locks it took where they are known."""
        self.pending = [entry for entry in self.pending if entry["file"] != job.migration.name]
        entry = {**describe(job), "duration_ms": done.duration_ms, "attempts": done.attempts}
        self.applied.append({**entry, **(done.trace or {})})

    def document(self) -> dict[str, Any]:
        """Return the result as JSON has it."""
        return {
            "result_version": VERSION,
            "command": self.command,
            "run_id": self.run_id,
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "target": self.target,
            "started_at": self._started.isoformat(timespec="seconds"),
            "duration_ms": round((time.monotonic() - self._clock) * 1000),
            "applied": self.applied,
            "pending": self.pending,
            "warnings": self.warnings,
            "data": self.data,
            "error": self.error.as_dict() if self.error else None,
        }


def describe(job: Job) -> dict[str, Any]:
    """Return a job as the document lists it."""
    migration = job.migration
    return {
        "action": job.step.action,
        "version": migration.key,
        "description": migration.description,
        "file": migration.name,
        "checksum": migration.checksum,
        "transactional": job.transactional,
        "why": job.step.why,
    }


def failed_file(error: RunnerError | None) -> str | None:
    """Return the file that an error names, None where it names none."""
    return error.file if isinstance(error, MigrationFailed) else None
