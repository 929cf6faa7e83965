"""A fleet by Step Functions: a state machine calls the Lambda for each target of a list in S3.

It is started, followed, stopped where somebody wants that, and believed in nothing but what it
wrote of each target. Nothing depends on this process: killed, the execution goes on, and the same
run id follows it again. One that has ended is followed by another one.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from types import FrameType
from typing import Any, NamedTuple

from runner import bucket
from runner.aws import calling
from runner.deadline import Deadline, backoff
from runner.errors import ConfigurationError, NotThere, RunnerError, Unproved
from runner.fleet.coordinator import Bounds
from runner.fleet.lines import failed, read
from runner.fleet.pool import Ended
from runner.fleet.targets import Item, entry
from runner.fleet.work import Answer
from runner.report.wording import many
from runner.signals import told

_ARN = re.compile(r"arn:aws[\w-]*:states:([\w-]+):\d{12}:stateMachine:([\w-]{1,80})").fullmatch
_NAME = re.compile(r"[A-Za-z0-9_-]{1,70}").fullmatch  # of an execution, with room for a number
_INPUT = 262_144  # bytes
_LOOKS = (0.5, 10.0)  # seconds between looks: first and longest
_WRITTEN = 60.0  # seconds that results may take after the end
_ENDED = {"SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT"}
# What a target's failure ends: no other error of an execution is the fleet's own.
_TOO_MANY = "States.ExceedToleratedFailureThreshold"


class Sent(NamedTuple):
    """Files that the functions shall plan with, in place of their own: packed, and their digest."""

    data: bytes
    digest: str


class Ask(NamedTuple):
    """What is asked for every target: an event of the Lambda, without the target."""

    command: str
    run_id: str
    options: Mapping[str, Any]
    files: Sent | None = None


class Machine:
    """Has a state machine work through targets: first the canaries, then the others.

    Parameters:
        arn: of the state machine.
        bounds: how many canaries, and how many may fail; at once are as many as the machine has it.
        progress: is told how far it is.

    Raises:
        ConfigurationError: it is no ARN of a state machine.
    """

    def __init__(
        self,
        arn: str,
        items: Sequence[Item],
        bounds: Bounds,
        deadline: Deadline,
        progress: Callable[[str], None],
    ):
        if not (found := _ARN(arn)):
            raise ConfigurationError(
                f"{arn} is no ARN of a state machine",
                fix="arn:aws:states:REGION:ACCOUNT:stateMachine:…",
            )
        self._arn, (self._region, self._name) = arn, found.groups()
        self._bounds, self._deadline, self._progress = bounds, deadline, progress
        self._waiting = {item.name: item for item in items}
        self._items = tuple(items)
        self.stopped: str | None = None
        self.interrupted = False
        self._maps = 0  # that were begun: of the canaries, of the others
        self._said = ""
        self._woken = threading.Event()

    @property
    def waiting(self) -> Sequence[Item]:
        """The targets that were not started, or of which nothing was told."""
        return [*self._waiting.values()]

    def work(self, ask: Ask) -> Iterator[Ended]:
        """Do what is asked in each target; give what came of it when all have ended.

        Raises:
            ConfigurationError: the run id was used for something else, or an option is too long.
            Unreachable: AWS refuses, or does not answer.
            Unproved: the execution failed by itself, or wrote what is no result of ours.
        """
        states, store = self._clients
        where = _bucket(self._definition)
        given = {**self._lists(store, where), "files": self._sent(where, ask.files)}
        execution = self._started(states, ask, given)
        with told(self._signalled):
            end = self._followed(states, execution)
        by_itself = end["status"] == "FAILED" and end.get("error") != _TOO_MANY
        try:
            yield from self._results((states, store), where, execution, ask)
        except RunnerError:
            if not by_itself:
                raise
        if by_itself:
            raise Unproved(
                f"{execution}: {end.get('error')}: {end.get('cause', '')[:2000]}",
                fix="mend that and run again: what is done costs a look",
            )
        if self._waiting and not self.stopped:
            self.stopped = self._why(end)

    def instead(self, answer: Callable[[Item], Answer]) -> Iterator[Ended]:
        """Give what is told of each target without asking anybody: there is no machine yet."""
        for item in self._items:
            del self._waiting[item.name]
            yield Ended(item, answer(item))

    def function(self) -> str:
        """Return the ARN, with its alias, of the function that the machine calls by itself.

        Raises:
            NotThere: there is no such state machine.
            ConfigurationError: it is none of a fleet.
            Unreachable: AWS refuses, or does not answer.
        """
        return _function(self._definition)

    @cached_property
    def _definition(self) -> str:
        states, _ = self._clients
        with self._calling("states:DescribeStateMachine"):
            try:
                found = states.describe_state_machine(stateMachineArn=self._arn)
            except states.exceptions.StateMachineDoesNotExist as error:
                raise NotThere(
                    f"there is no state machine {self._name}",
                    fix="deploy one: fleet_wanted in the inventory",
                ) from error
        definition: str = found["definition"]
        return definition

    def _why(self, end: Mapping[str, Any]) -> str:
        """Return why some targets were not started, for a person."""
        if end.get("error") != _TOO_MANY:
            return f"the execution is {end['status']}"
        if self._bounds.canaries and self._maps == 1:
            return "a canary failed"
        return f"more failed than the {self._bounds.tolerated} that may"

    @cached_property
    def _clients(self) -> tuple[Any, Any]:
        """Return clients of Step Functions and S3, of one session: each keeps AWS's models."""
        with calling(f"{self._name} cannot be reached", may="use it") as boto3:
            client = boto3.Session(region_name=self._region).client
            return client("stepfunctions"), client("s3")

    def _calling(self, right: str) -> contextlib.AbstractContextManager[Any]:
        return calling(f"{self._name} does not take the fleet", may=right)

    def _started(self, states: Any, ask: Ask, given: Mapping[str, Any]) -> str:
        """Start an execution, or find the one of this run id that goes on.

        One that has ended says what was so then, and perhaps what nobody believed; another one
        looks into each target anew.
        """
        begin = ask.run_id if _NAME(ask.run_id) else hashlib.sha256(ask.run_id.encode()).hexdigest()
        asked = {
            "command": ask.command, "run_id": ask.run_id, "options": ask.options,
            "tolerated": self._bounds.tolerated, **given,
        }  # fmt: skip
        for number in itertools.count(1):
            name = begin if number == 1 else f"{begin}.{number}"
            text = json.dumps({**asked, "results": f"fleets/{self._name}/{name}"})
            if arn := self._start(states, name, text):
                self._progress(f"{arn}: {many(len(self._items), 'target')}")
                return arn
        raise AssertionError

    def _start(self, states: Any, name: str, text: str) -> str | None:
        """Return an execution of this name and input, None where that has ended before."""
        if len(text) > _INPUT:
            raise ConfigurationError(
                f"what is asked has {len(text):,} bytes, and Step Functions takes {_INPUT:,}",
                fix="name fewer digests",
            )
        arn = f"{self._arn.replace(':stateMachine:', ':execution:')}:{name}"
        with self._calling("states:StartExecution, states:DescribeExecution"):
            try:
                states.start_execution(stateMachineArn=self._arn, name=name, input=text)
            except states.exceptions.ExecutionAlreadyExists as error:
                found = states.describe_execution(executionArn=arn)
                if found["status"] != "RUNNING":
                    return None
                if json.loads(found["input"]) != json.loads(text):
                    raise ConfigurationError(
                        f"an execution {name} of {self._name} was asked for something else",
                        fix="run again with another --run-id",
                    ) from error
        return arn

    def _lists(self, store: Any, where: str) -> dict[str, str]:
        """Write who the targets are, for the machine to read; return where that is."""
        canaries = self._bounds.canaries
        lists = {"canaries": self._items[:canaries], "others": self._items[canaries:]}
        return {kind: self._put(store, where, items) for kind, items in lists.items() if items}

    def _put(self, store: Any, where: str, items: Sequence[Item]) -> str:
        data = "".join(f"{json.dumps(entry(item))}\n" for item in items).encode()
        key = f"fleets/{self._name}/{hashlib.sha256(data).hexdigest()}"
        with self._calling(f"s3:PutObject on {where}/{key}"):
            store.put_object(Bucket=where, Key=key, Body=data)
        return key

    def _sent(self, where: str, files: Sent | None) -> dict[str, str] | None:
        """Return what an event says of files, which the function looks for in that bucket."""
        return {"sha256": bucket.put(where, files.data, region=self._region)} if files else None

    def _followed(self, states: Any, execution: str) -> dict[str, Any]:
        """Wait for an execution's end, and tell how far it is; stop it where that is wanted."""
        pauses, asked = backoff(*_LOOKS), False
        while True:
            with self._calling("states:DescribeExecution"):
                found: dict[str, Any] = states.describe_execution(executionArn=execution)
            if found["status"] in _ENDED:
                return found
            if self._deadline.passed() and not self.stopped:
                self.stopped = "the deadline came"
            if self.stopped and not asked:
                self._progress(f"{self.stopped}: no more are started; what runs ends by itself")
                ended_meanwhile = contextlib.suppress(states.exceptions.ValidationException)
                with self._calling("states:StopExecution"), ended_meanwhile:
                    states.stop_execution(executionArn=execution, cause=self.stopped)
                asked = True
                self._woken.clear()
                continue
            self._tell(states, execution)
            self._woken.wait(next(pauses))

    def _tell(self, states: Any, execution: str) -> None:
        counts = [run["itemCounts"] for run in self._runs(states, execution)]
        done = sum(each["succeeded"] + each["failed"] for each in counts)
        failed, running = (sum(each[name] for each in counts) for name in ("failed", "running"))
        said = f"{done:,} of {len(self._items):,} done, {failed:,} failed, {running:,} under way"
        if said != self._said:
            self._said = said
            self._progress(said)

    def _runs(self, states: Any, execution: str) -> list[dict[str, Any]]:
        with self._calling("states:ListMapRuns, states:DescribeMapRun"):
            runs = states.list_map_runs(executionArn=execution)["mapRuns"]
            return [states.describe_map_run(mapRunArn=run["mapRunArn"]) for run in runs]

    def _results(
        self, clients: tuple[Any, Any], where: str, execution: str, ask: Ask
    ) -> Iterator[Ended]:
        """Give what the execution wrote of each target."""
        states, store = clients
        prefix = f"fleets/{self._name}/{execution.rpartition(':')[2]}"
        runs = self._ended_runs(states, execution)
        files = ask.files.digest if ask.files else None
        self._maps = len(runs)
        for run in runs:
            of = f"{prefix}/{run['mapRunArn'].rpartition(':')[2]}"
            manifest = self._manifest(store, where, f"{of}/manifest.json")
            for kind in ("SUCCEEDED", "FAILED"):
                for file in manifest["ResultFiles"].get(kind, []):
                    for line in self._entries(store, where, file["Key"]):
                        item = self._item(line)
                        answer, of_files = read(line, item, ask.command, ask.run_id)
                        files = files or of_files
                        if of_files not in {files, None}:
                            answer = failed(item, _not_sent() if ask.files else _other_files())
                        yield Ended(item, answer._replace(folder=of_files))

    def _ended_runs(self, states: Any, execution: str) -> list[dict[str, Any]]:
        """Return the runs of the maps, once each has ended, as it does when it has written."""
        until, pauses = time.monotonic() + _WRITTEN, backoff(*_LOOKS)
        while True:
            runs = self._runs(states, execution)
            if all(run["status"] in _ENDED for run in runs) or time.monotonic() > until:
                return runs
            time.sleep(next(pauses))

    def _manifest(self, store: Any, where: str, key: str) -> dict[str, Any]:
        with self._calling(f"s3:GetObject on {where}/{key}"):
            found: dict[str, Any] = json.load(store.get_object(Bucket=where, Key=key)["Body"])
        return found

    def _entries(self, store: Any, where: str, key: str) -> Iterator[dict[str, Any]]:
        with self._calling(f"s3:GetObject on {where}/{key}"):
            for line in store.get_object(Bucket=where, Key=key)["Body"].iter_lines(1 << 16):
                yield json.loads(line)

    def _item(self, line: Mapping[str, Any]) -> Item:
        """Return the target that an entry is of, which each line has one of."""
        try:
            return self._waiting.pop(json.loads(line["Input"])["target"]["name"])
        except (KeyError, TypeError, ValueError) as error:
            raise Unproved(
                f"{self._name} wrote of a target that it was not given, or twice"
            ) from error

    def _signalled(self, _: int, __: FrameType | None) -> None:
        """Let the first signal stop the execution, the second one also the wait for its end."""
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted, self.stopped = True, "interrupted"
        self._woken.set()


def _bucket(definition: str) -> str:
    """Return the bucket that a state machine of ours reads its lists from."""
    return _found(definition, "ItemReader", "Parameters", "Bucket")


def _function(definition: str) -> str:
    """Return the function that a state machine of ours calls for targets that name none."""
    return _found(definition, "ItemProcessor", "States", "Own", "Parameters", "FunctionName")


def _found(definition: str, *names: str) -> str:
    """Return what a definition says of its map at some place."""
    try:
        found: Any = json.loads(definition)["States"]["Others"]
        for name in names:
            found = found[name]
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            "it is no state machine of a fleet", fix="deploy one: fleet_wanted in the inventory"
        ) from error
    return str(found)


def _not_sent() -> RunnerError:
    return RunnerError(
        "it planned with files of its own, not with those that were sent",
        fix="deploy its function and the state machines, which are older than this runner",
    )


def _other_files() -> RunnerError:
    return RunnerError(
        "it got other files than the first target: the function was deployed meanwhile",
        fix="run again: it goes on with the files that are there now",
    )
