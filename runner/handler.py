"""The Lambda: an event is a command, its result the answer; whatever fails raises.

Everything is made anew for each invocation: a password may have been rotated and a paused
database moved since the last one.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, cast

from runner import codebuild
from runner.commands.command import Context, Needs
from runner.commands.table import COMMANDS, SHARED
from runner.database.connection import target
from runner.deadline import Deadline
from runner.engine.conduct import Conduct
from runner.engine.job import Job
from runner.engine.run import Run
from runner.engine.throttle import Throttle
from runner.errors import ConfigurationError, Refused, RunnerError
from runner.event import Request, parse
from runner.report import text, wording
from runner.result import Backfill, Document, Line, Result

# Bytes of an answer. Lambda's limit is 6 MB:
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_ANSWER = 5_500_000
_ROOT = Path(__file__).resolve().parent.parent  # the unpacked zip: runner/, sql/, ca-bundle.pem


class RunFailed(Exception):
    """Its text is the result document, so that the caller of a failed Lambda has all of it."""


def handle(event: Any, context: Any) -> Document | Line:
    """Run the event's command and return the result document, or of a fleet's target the line.

    Where a build runs it in the function's place, its ARN is returned.

    Parameters:
        event: what `runner.event` describes.
        context: Lambda's; its remaining time is the deadline, and the alias by which the
            function was called says which commands it serves.

    Raises:
        RunFailed: with that as its text.
    """
    result, told = _run(event, context)
    if codebuild.is_build(build := result.get("build")):
        _say(f"started {build}")
        return cast(Document, result)
    document: Document = text.fitted(_as_in_repository(result), _ANSWER)
    command = COMMANDS.get(document["command"])
    _say(command.text(document) if command else text.as_text(document, text.last_line(document)))
    if document["command"] in {"migrate", "rollback", "backfill"}:
        print(metrics(document, time.time()))
    answer = _as_in_repository(told) if told else document
    if document["error"]:
        raise RunFailed(json.dumps(answer, ensure_ascii=False))
    return answer


def _as_in_repository(document: Any) -> Any:
    """Return a document whose files are not named by where the zip was unpacked."""
    return json.loads(text.as_json(document).replace(f"{_ROOT}/", ""))


def metrics(document: Document, now: float) -> str:
    """Return a run's numbers as CloudWatch reads them from a log: no permission, no endpoint.

    The format is the embedded metric format,
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

    Parameters:
        now: seconds since 1970.
    """
    units = {"Failed": "Count", "Applied": "Count", "Pending": "Count", "Duration": "Milliseconds"}
    backfilled = _backfilled(document)
    units |= {name: "Count/Second" if "Per" in name else "Count" for name in backfilled}
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
        **backfilled,
        "Duration": document["duration_ms"],
        "run_id": document["run_id"],
    }
    return json.dumps(numbers)


def _backfilled(document: Document) -> dict[str, float]:
    """Return the numbers of a run's backfill, the one that is not done where there are several."""
    tasks = [*document["pending"], *reversed(document["applied"])]
    found = next((task["backfill"] for task in tasks if "backfill" in task), None)
    if found is None:
        return {}
    numbers = {
        "BackfilledRows": found["rows"],
        "BackfillRowsLeft": found["rows_left"],
        "BackfilledRowsPerSecond": found["rows_per_second"],
    }
    return {name: number for name, number in numbers.items() if number is not None}


def _run(event: Any, context: Any) -> tuple[Any, Line | None]:
    try:
        request = parse(event, context.invoked_function_arn)
        _require_digest(request)
        _require_evidence(request)
        if project := _project(request):
            return codebuild.start(project, event, token=context.aws_request_id), None
        deadline = Deadline(context.get_remaining_time_in_millis() / 1000)
        with request.folder(_ROOT / "sql") as sql_dir:

            def database(_: str | None) -> Run:
                to = target(None, _environment() | dict(request.copy or {}), verified=True)
                if request.schema:
                    extensions = os.environ.get("EXTENSION_SCHEMA") or None
                    to = to._replace(schema=request.schema, extensions=extensions)
                conduct = Conduct(deadline, _Log(), throttle=_throttle())
                return Run(to, sql_dir, request.run_id, conduct, asked=request.asked())

            given = Context(
                request.run_id, sql_dir, database, _say, on_copy=request.copy is not None
            )
            options = _with_required(request)
            if request.item:
                from runner.commands.member import line  # noqa: PLC0415

                return line(given, request.command.name, options, request.item)
            return request.command.run(given, options), None
    except RunnerError as error:
        asked: dict[str, Any] = event if isinstance(event, dict) else {}
        result = Result(*(_shown(asked.get(name)) for name in ("command", "run_id")))
        result.error = error
        return result.document(), None


def _shown(given: object) -> str:
    """Return what an event says, in a form that any document can hold."""
    return wording.bounded(wording.clean(given), 200)


def _say(said: str) -> None:
    """Print lines for the log; none of them passes for the numbers that CloudWatch reads there."""
    for shown in wording.clean(said).split("\n"):
        print(f"| {shown}" if shown.lstrip().startswith("{") else shown)


def _require_digest(request: Request) -> None:
    """Refuse to migrate without an approved plan, where REQUIRE_PLAN_DIGEST says so."""
    if not _requires("REQUIRE_PLAN_DIGEST", request):
        return
    if "plan_digest" not in request.options:
        raise Refused(
            "this function runs approved plans only, and the call names none",
            fix="look at the plan (runner invoke … plan), approve its digest, and pass it with"
            " --plan-digest",
        )


def _require_evidence(request: Request) -> None:
    """Refuse to migrate without evidence or a reason, where REQUIRE_EVIDENCE says so."""
    if not _requires("REQUIRE_EVIDENCE", request) or "without_evidence" in request.options:
        return
    missing = [name for name in ("proved", "promoted") if name not in request.options]
    if missing:
        raise Refused(
            "this function runs only files that were proved and applied elsewhere, and the call"
            f" does not say so: {', '.join(missing)}",
            fix="let the pipeline carry them; in an emergency: --without-evidence and why",
        )


def _with_required(request: Request) -> dict[str, Any]:
    """Return the options with what REQUIRE_SNAPSHOT says; an emergency goes without."""
    wanted = _asks("REQUIRE_SNAPSHOT") and request.command.name in {"migrate", "rollback"}
    if not wanted or "without_evidence" in request.options:
        return request.options
    return {**request.options, "require_snapshot": True}


def _requires(name: str, request: Request) -> bool:
    """Return whether a variable asks for more than a bare call of migrate."""
    return _asks(name) and request.command.name == "migrate" and not request.options.get("dry_run")


def _project(request: Request) -> str | None:
    """Return the CodeBuild project that runs a request in place of the function, if one does."""
    runs = request.command.name == "migrate" and not request.options.get("dry_run")
    return os.environ.get("RUNNER_PROJECT") if runs and request.item is None else None


def _asks(name: str) -> bool:
    return os.environ.get(name, "").lower() in {"1", "true"}


def _environment() -> dict[str, str]:
    """Return the environment; without a word of others, the zip's own CAs verify a server."""
    return {"PGSSLROOTCERT": str(_ROOT / "ca-bundle.pem")} | dict(os.environ)


def _throttle() -> Throttle:
    """Return what slows backfills down, as variables named after the options say it."""
    options = {option.name: option for option in SHARED[Needs.DATABASE]}

    def said(name: str) -> Any:
        option, text = options[name], os.environ.get(name.upper(), "")
        if not text:
            return option.default
        given = int(text) if option.kind is int and text.isdecimal() else text
        try:
            return option.value(given)
        except ConfigurationError as error:
            raise ConfigurationError(f"{name.upper()}={text}: {error.message}") from error

    return Throttle(*map(said, ("batch_pause", "batch_lag", "batch_active", "batch_hours")))


class _Log:
    """Progress as lines in the function's log."""

    wants_ticks = False

    def __init__(self) -> None:
        self._said = time.monotonic()

    def note(self, text: str) -> None:
        _say(text)

    def planned(self, count: int) -> None:
        _say(f"to run: {count}")

    def started(self, job: Job) -> None:
        _say(f"running {job.migration.name}")

    def tick(self, job: Job, seconds: float) -> None:
        """Not asked for: a log has no running clock."""

    def moved(self, job: Job, backfill: Backfill) -> None:
        if time.monotonic() - self._said >= wording.OFTEN:
            self._said = time.monotonic()
            _say(f"{job.migration.name}: {wording.backfill(backfill)}")

    def notices(self, job: Job, texts: list[str]) -> None:
        for said in texts:
            _say(f"{job.migration.name}: {said}")

    def finished(self, job: Job, duration_ms: int) -> None:
        _say(f"done {job.migration.name} in {wording.duration(duration_ms)}")
