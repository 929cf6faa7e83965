"""A process that works on one target of a fleet after the other: `python -m runner.worker`.

Each line that it reads is JSON: at first what all targets have in common, then a target each. It
answers a line to each of them. What is read of the files serves all of them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO, cast

from runner.commands.status import PENDING, status
from runner.deadline import Deadline
from runner.engine.conduct import Conduct
from runner.engine.migrate import look, migrate
from runner.engine.plan import Policy
from runner.engine.progress import Silence
from runner.engine.run import Files, Run
from runner.engine.throttle import Hours, Pause, Throttle
from runner.errors import ConfigurationError, Interrupted, RunnerError
from runner.files.folder import canonical, parse_version, read_folder
from runner.fleet.targets import Item
from runner.fleet.work import Answer, Asked, one_line, shortened, state_of
from runner.result import Result, Standing
from runner.signals import handled

_DIFFERS = "applied, file "  # as the state of a migration begins that does not fit its file


class Worker:
    """Does what is asked in one target after the other.

    Raises:
        ConfigurationError: the files are not those that the fleet was begun with.
        RunnerError: they cannot be read.
    """

    def __init__(self, asked: Asked):
        self._asked = asked
        self._files = Files(read_folder(Path(asked.sql_dir)), {})
        if self._files.folder.digest() != asked.files:
            raise ConfigurationError(
                "the files were changed while the fleet was at work",
                fix="run again when nothing changes them, so that every target gets the same",
            )

    def answer(self, item: Item, left: float | None) -> Answer:
        """Do it in a target, and return what came of that.

        Parameters:
            left: seconds that it may take, None: any.
        """
        try:
            with handled():
                return self._answer(item, left)
        except KeyboardInterrupt:
            error: RunnerError = Interrupted("interrupted", fix="run again")
        except RunnerError as raised:
            error = raised
        result = Result(self._asked.command, self._asked.run_id)
        result.error = error
        return _answered(item, result)

    def _answer(self, item: Item, left: float | None) -> Answer:
        run, options = self._run(item, left), self._asked.options
        if self._asked.command == "status":
            result = status(run, check_only=False, with_drift=options["drift"])
            return _stands(item, result)
        policy = Policy(**options["policy"])
        if self._asked.command == "plan":
            result, digest = look(run, policy)
            return _answered(item, result)._replace(digest=digest)
        run = run._replace(create_schema=options["create_schema"])
        drift, digests = options["on_drift"], options["plan_digests"]
        return _answered(item, migrate(run, policy, on_drift=drift, plan_digests=digests))

    def _run(self, item: Item, left: float | None) -> Run:
        asked = self._asked
        return Run(
            target=item.target(asked.url, asked.schema, asked.extensions),
            sql_dir=Path(asked.sql_dir),
            run_id=asked.run_id,
            conduct=Conduct(
                Deadline(left),
                Silence(),
                lock_timeout=asked.lock_timeout,
                lock_attempts=asked.lock_attempts,
                throttle=_throttle(*asked.throttle),
            ),
            connect_wait=asked.connect_wait,
            lock_wait=asked.lock_wait,
            files=self._files,
        )


def _throttle(
    pause: Sequence[Any], lag: int | None, active: int | None, hours: Sequence[str] | None
) -> Throttle:
    return Throttle(Pause(*pause), lag, active, Hours(*hours) if hours else None)


def _answered(item: Item, result: Result) -> Answer:
    """Return the answer that a run's result is."""
    document = result.document()
    error, applied = document["error"], document["applied"]
    files = tuple(task["file"] for task in document["pending"])
    left = len(files) + len(document.get("held", []))  # what waits for the new code as well
    versions = [entry["version"] for entry in applied if entry["action"] == "apply"]
    return Answer(
        {
            "name": item.name,
            "target": document["target"],
            "state": state_of(error) if error else "behind" if left else "current",
            "exit_code": document["exit_code"],
            "version": _newest([*versions, *filter(None, [result.version])]),
            "applied": len(applied),
            "pending": left,
            "duration_ms": document["duration_ms"],
            "error": one_line(error) if error else None,
        },
        files=files,
        error=error,
        warnings=tuple(document["warnings"]),
    )


def _stands(item: Item, result: Result) -> Answer:
    """Return the answer that the result of status is."""
    answer, found = _answered(item, result), cast(list[Standing] | None, result.data)
    if found is None:
        return answer
    files = tuple(entry["file"] or "" for entry in found if entry["state"] in PENDING)
    strange = [entry for entry in found if entry["state"].startswith(_DIFFERS)]
    member = answer.member
    member["pending"] = len(files)
    member["version"] = _newest(
        entry["version"]
        for entry in found
        if not entry["version"].startswith("R__")
        and entry["state"].startswith(("applied", "baseline"))
    )
    if result.error:
        member |= {"state": "drifted", "error": shortened(" ".join(result.error.details[1:]))}
    elif strange:
        said = ", ".join(f"{entry['version']} is {entry['state']}" for entry in strange)
        member |= {"state": "differs", "error": shortened(said)}
    elif files:
        member["state"] = "behind"
    return answer._replace(files=files)


def _newest(versions: Iterable[str]) -> str | None:
    found = [parse_version(version) for version in versions]
    return canonical(max(found)) if found else None


def _lines(stream: TextIO) -> Iterator[Any]:
    return map(json.loads, stream)


def main() -> None:
    """Answer a line to each line, until there are no more."""
    asked = _lines(sys.stdin)
    # Whatever prints meanwhile is no answer.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        try:
            worker = Worker(Asked(*next(asked)))
        except RunnerError as error:
            print(json.dumps(error.document()), file=answers)
            return
        print(json.dumps(None), file=answers, flush=True)
        for item, left in asked:
            print(json.dumps(worker.answer(Item(*item), left)), file=answers, flush=True)


if __name__ == "__main__":
    main()
