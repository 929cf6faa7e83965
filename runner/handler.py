"""The Lambda: an event is a command, its result the answer; whatever fails raises.

Everything is made anew for each invocation: a password may have been rotated and a paused
database moved since the last one.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from runner.commands.command import Command, Context
from runner.commands.table import COMMANDS
from runner.database.connection import target
from runner.deadline import Deadline
from runner.engine.attempt import Conduct
from runner.engine.job import Job
from runner.engine.run import Run
from runner.errors import ConfigurationError, RunnerError
from runner.report import text, wording
from runner.result import Document, Result

_ROOT = Path(__file__).resolve().parent.parent  # the unpacked zip: runner/, sql/, ca-bundle.pem


class RunFailed(Exception):
    """Its text is the result document, so that the caller of a failed Lambda has all of it."""


def handle(event: Any, context: Any) -> Document:
    """Run the event's command and return the result document.

    Parameters:
        event: {"command": "migrate", "run_id": "…", "options": {…}}; options as the command
            line has them, with underscores.
        context: Lambda's; its remaining time is the deadline.

    Raises:
        RunFailed: with the result document as its text.
    """
    said = text.as_json(_run(event, context))
    # Files are named as in the repository, not by where the zip was unpacked.
    document: Document = json.loads(said.replace(f"{_ROOT}/", ""))
    command = COMMANDS.get(document["command"])
    print(command.text(document) if command else text.as_text(document, text.last_line(document)))
    if document["command"] in {"migrate", "rollback"}:
        print(metrics(document, time.time()))
    if document["error"]:
        raise RunFailed(json.dumps(document, ensure_ascii=False))
    return document


def metrics(document: Document, now: float) -> str:
    """Return a run's numbers as CloudWatch reads them from a log: no permission, no endpoint.

    The format is the embedded metric format,
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

    Parameters:
        now: seconds since 1970.
    """
    units = {"Failed": "Count", "Applied": "Count", "Pending": "Count", "Duration": "Milliseconds"}
    directive = {
        "Namespace": "SchemaMigrations",
        "Dimensions": [["FunctionName"]],
        "Metrics": [{"Name": name, "Unit": unit} for name, unit in units.items()],
    }
    numbers = {
        "_aws": {"Timestamp": round(now * 1000), "CloudWatchMetrics": [directive]},
        "FunctionName": os.environ.get("AWS_LAMBDA_FUNCTION_NAME", ""),
        "Failed": int(document["error"] is not None),
        "Applied": len(document["applied"]),
        "Pending": len(document["pending"]),
        "Duration": document["duration_ms"],
        "run_id": document["run_id"],
    }
    return json.dumps(numbers)


def _run(event: Any, context: Any) -> Document:
    try:
        command, run_id, options = parse(event)
        deadline = Deadline(context.get_remaining_time_in_millis() / 1000)

        def database(_: str | None) -> Run:
            to = target(None, _environment())
            return Run(to, _ROOT / "sql", run_id, Conduct(deadline, _Log()))

        return command.run(Context(run_id, _ROOT / "sql", database, print), options)
    except RunnerError as error:
        asked: dict[str, Any] = event if isinstance(event, dict) else {}
        result = Result(str(asked.get("command")), str(asked.get("run_id")))
        result.error = error
        return result.document()


def parse(event: Any) -> tuple[Command, str, dict[str, Any]]:
    """Return command, run id and options of an event.

    Raises:
        ConfigurationError: the event is not what a command takes.
    """
    if not isinstance(event, dict):
        raise ConfigurationError('the event is not an object such as {"command": "migrate"}')
    unknown = sorted(set(event) - {"command", "run_id", "options"})
    if unknown:
        raise ConfigurationError(f"the event has unknown keys: {', '.join(unknown)}")
    name, run_id = event.get("command"), event.get("run_id")
    known = [command.name for command in COMMANDS.values() if command.remote]
    if name not in known:
        raise ConfigurationError(f"unknown command {name!r}; known: {', '.join(known)}")
    if not isinstance(run_id, str) or not run_id:
        raise ConfigurationError("the event has no run_id")
    return COMMANDS[name], run_id, COMMANDS[name].values(event.get("options") or {})


def _environment() -> dict[str, str]:
    """Return the environment with TLS as the Lambda has it: verified, by the zip's own CAs."""
    defaults = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(_ROOT / "ca-bundle.pem")}
    return defaults | dict(os.environ)


class _Log:
    """Progress as lines in the function's log."""

    wants_ticks = False

    def note(self, text: str) -> None:
        print(text)

    def started(self, job: Job) -> None:
        print(f"running {job.migration.name}")

    def tick(self, job: Job, seconds: float) -> None:
        """Not asked for: a log has no running clock."""

    def notices(self, job: Job, texts: list[str]) -> None:
        for said in texts:
            print(f"{job.migration.name}: {said}")

    def finished(self, job: Job, duration_ms: int) -> None:
        print(f"done {job.migration.name} in {wording.duration(duration_ms)}")
