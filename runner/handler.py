"""The Lambda: an event is a command, its result the answer; whatever fails raises.

Everything is made anew for each invocation: a password may have been rotated and a paused
database moved since the last one.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.commands import table as commands
from runner.database import connection
from runner.database.session import Deadline
from runner.engine.attempt import Conduct, Settings
from runner.engine.job import Job
from runner.engine.run import Run
from runner.errors import ConfigurationError, RunnerError
from runner.report import text as report
from runner.result import Result

_ROOT = Path(__file__).resolve().parent.parent  # the unpacked zip: runner/, sql/, ca-bundle.pem


class RunFailed(Exception):
    """Its text is the result document, so that the caller of a failed Lambda has all of it."""


def handle(event: Any, context: Any) -> dict[str, Any]:
    """Run the event's command and return the result document.

    Parameters:
        event: {"command": "migrate", "run_id": "…", "options": {…}}; options as the command
            line has them, with underscores.
        context: Lambda's; its remaining time is the deadline.

    Raises:
        RunFailed: with the result document as its text.
    """
    result = _run(event, context)
    # Files are named as in the repository, not by where the zip was unpacked.
    document = json.loads(report.as_json(result.document()).replace(f"{_ROOT}/", ""))
    print(report.as_text(document))
    if document["command"] in {"migrate", "rollback"}:
        print(metrics(document, time.time()))
    if result.error:
        raise RunFailed(json.dumps(document, ensure_ascii=False))
    return document  # type: ignore[no-any-return]


def metrics(document: Mapping[str, Any], now: float) -> str:
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


def _run(event: Any, context: Any) -> Result:
    try:
        command, run_id, options = parse(event)
        run = Run(
            target=connection.target(None, _environment()),
            sql_dir=_ROOT / "sql",
            run_id=run_id,
            conduct=Conduct(
                Settings(), Deadline(context.get_remaining_time_in_millis() / 1000), _Log()
            ),
        )
        return commands.perform(command, run, options)
    except RunnerError as error:
        asked: dict[str, Any] = event if isinstance(event, dict) else {}
        result = Result(str(asked.get("command")), str(asked.get("run_id")))
        result.error = error
        return result


def parse(event: Any) -> tuple[str, str, dict[str, Any]]:
    """Return command, run id and options of an event.

    Raises:
        ConfigurationError: the event is not what a command takes.
    """
    if not isinstance(event, dict):
        raise ConfigurationError('the event is not an object such as {"command": "migrate"}')
    unknown = sorted(set(event) - {"command", "run_id", "options"})
    if unknown:
        raise ConfigurationError(f"the event has unknown keys: {', '.join(unknown)}")
    command, run_id = event.get("command"), event.get("run_id")
    if command not in commands.COMMANDS:
        raise ConfigurationError(
            f"unknown command {command!r}; known: {', '.join(commands.COMMANDS)}"
        )
    if not isinstance(run_id, str) or not run_id:
        raise ConfigurationError("the event has no run_id")
    options = event.get("options") or {}
    types = commands.COMMANDS[command][1]
    for name, value in options.items():
        if name not in types:
            raise ConfigurationError(f"{command} takes no option {name!r}")
        # bool is an int to Python, not to a caller.
        if type(value) is not types[name]:
            raise ConfigurationError(f"option {name} takes a {types[name].__name__}")
    return command, run_id, options


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
        for text in texts:
            print(f"{job.migration.name}: {text}")

    def finished(self, job: Job, duration_ms: int) -> None:
        print(f"done {job.migration.name} in {report.duration(duration_ms)}")
