"""A process that works on one target of a fleet after the other: `python -m runner.worker`.

Each line that it reads is JSON: at first what all targets have in common, then a target each. It
answers a line to each of them. What is read of the files serves all of them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from runner.commands.member import answered, done
from runner.commands.table import COMMANDS
from runner.deadline import Deadline
from runner.engine.conduct import Conduct
from runner.engine.progress import Silence
from runner.engine.run import Files, Run
from runner.engine.throttle import Hours, Pause, Throttle
from runner.errors import ConfigurationError, Interrupted, RunnerError
from runner.files.folder import read_folder
from runner.fleet.targets import Item
from runner.fleet.work import Answer, Asked
from runner.result import Result
from runner.signals import handled


class Worker:
    """Does what is asked in one target after the other.

    Raises:
        ConfigurationError: the files are not those that the fleet was begun with.
        RunnerError: they cannot be read.
    """

    def __init__(self, asked: Asked):
        self._asked = asked
        self._options = COMMANDS[asked.command].values(asked.options)
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
        return answered(item, result)

    def _answer(self, item: Item, left: float | None) -> Answer:
        _, answer = done(self._run(item, left), self._asked.command, self._options, item)
        return answer

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
