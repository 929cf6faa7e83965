"""Step Functions that executes what our state machines are made of, as its documents have it.

ministack keeps machines, executions and map runs, and serves them; its own execution passes over
`Credentials`, `ResultWriter`, the `…Path` fields, every limit of size and the machine's role, and
ends no map run before its last item. So what runs a definition is here, and takes no definition
that it does not know wholly (`definitions.py`). Sources, all of the Step Functions Developer Guide:

- 262,144 bytes of a payload, 32,768 characters of a cause: "Service quotas".
- A map run starts no more once more have failed than may, and then what runs of it is aborted,
  while Lambda goes on with it; unset, ten thousand run at once: "Map state in Distributed mode",
  "Tolerated failure threshold".
- What it writes: "ResultWriter", "SUCCEEDED, FAILED and PENDING".
- What its role needs: "IAM policies for using Distributed Map states", "Accessing resources in
  other AWS accounts".
- StartExecution with the name and input of one that runs gives that one; any other one of this name
  is refused: API Reference, StartExecution.
"""
# ruff: noqa: SLF001 (patching private names is this module's purpose)

import asyncio
import contextvars
import json
import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from local.emulator.definitions import FORMAT, ITEM, problems
from local.emulator.iam import may
from local.emulator.patches import module, replace, wrap

evaluator = module("ministack.core.iam_evaluator")
functions = module("ministack.services.lambda_svc")
iam = module("ministack.services.iam")
responses = module("ministack.core.responses")
s3 = module("ministack.services.s3")
states = module("ministack.services.stepfunctions")

_MOST = 262_144  # bytes of a payload
_CAUSE = 32_768  # characters
_AT_ONCE = 10_000
_SUCCESS = 200
_NAME = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}").fullmatch
_trusted: set[str] = set()  # roles that were named once: the first call about a new one fails

Data = dict[str, Any]


class Failed(Exception):
    """An error as Step Functions has it."""

    def __init__(self, error: str, cause: str = "") -> None:
        super().__init__(error)
        self.error, self.cause = error, cause[:_CAUSE]


def patch() -> None:
    """Replace what takes definitions, what starts executions and what runs them."""
    wrap(states, "_create_state_machine", _taking)
    wrap(states, "_update_state_machine", _taking)
    wrap(states, "_start_execution", _starting)
    replace(states, "_run_execution", _run)


def _refusal(code: str, said: str) -> Any:
    return responses.error_response_json(code, said, 400)


def _taking(original: Callable[[Data], Any]) -> Callable[[Data], Any]:
    def take(data: Data) -> Any:
        if data.get("type", "STANDARD") != "STANDARD":
            return _refusal(
                "InvalidDefinition", "EXPRESS is unknown here, and may hold no such map"
            )
        if "definition" in data and (wrong := problems(data["definition"])):
            return _refusal("InvalidDefinition", "; ".join(wrong))
        if (role := data.get("roleArn")) and not _trusts(role):
            return _refusal(
                "AccessDeniedException",
                "Neither the global service principal states.amazonaws.com, nor the regional one is"
                " authorized to assume the provided role.",
            )
        return original(data)

    return take


def _trusts(role: str) -> bool:
    """Return whether a role lets Step Functions act as it, of which a new one knows at second."""
    found = iam._roles.get(role.rpartition("/")[2])
    new = role not in _trusted
    _trusted.add(role)
    return bool(found) and "states.amazonaws.com" in found["AssumeRolePolicyDocument"] and not new


def _starting(original: Callable[[Data], Any]) -> Callable[[Data], Any]:
    def start(data: Data) -> Any:
        given = data.get("input", "{}")
        if len(given.encode()) > _MOST:
            return _refusal("InvalidExecutionInput", f"the input is over {_MOST} bytes")
        name = data.get("name")
        if name is None:
            return original(data)
        if not _NAME(name):
            return _refusal("InvalidName", f"Invalid Name: '{name}'")
        arn = f"{data['stateMachineArn'].replace(':stateMachine:', ':execution:')}:{name}"
        known = states._executions.get(arn)
        if known and known["status"] == "RUNNING" and known["input"] == given:
            begun = {"executionArn": arn, "startDate": known["startDate"]}
            return states.json_response(begun)
        return original(data)

    return start


def _run(arn: str) -> None:
    """Execute, in a thread of its own."""
    execution = states._executions[arn]
    machine = states._state_machines[execution["stateMachineArn"]]
    definition = json.loads(machine["definition"])
    context = {"execution": execution, "role": machine["roleArn"]}
    try:
        given = json.loads(execution["input"])
        output = json.dumps(_machine(definition, given, context))
    except Failed as failed:
        if execution["status"] == "RUNNING":
            states._fail_execution(execution, failed.error, failed.cause)
        return
    if execution["status"] == "RUNNING":
        execution |= {"status": "SUCCEEDED", "output": output, "stopDate": states.now_iso()}


def _machine(definition: Data, value: Any, context: Data) -> Any:
    name: str | None = definition["StartAt"]
    while name:
        state = definition["States"][name]
        if context["execution"]["status"] != "RUNNING":
            raise Failed("States.Aborted")
        if state["Type"] == "Choice":
            name = _chosen(state, value)
            continue
        if state["Type"] == "Task":
            value = _fitting(_path(state.get("OutputPath", "$"), _task(state, value, context)))
        elif state["Type"] == "Map":
            MapRun(state, value, context).run()  # its ResultPath is null
        name = state.get("Next")
    return value


def _chosen(state: Data, value: Any) -> str:
    for rule in state["Choices"]:
        if _is_present(rule["Variable"], value) == rule["IsPresent"]:
            return str(rule["Next"])
    if "Default" not in state:
        raise Failed("States.NoChoiceMatched")
    return str(state["Default"])


def _is_present(path: str, value: Any) -> bool:
    try:
        _path(path, value)
    except Failed:
        return False
    return True


def _path(path: str, value: Any) -> Any:
    for name in path.split(".")[1:]:
        if not isinstance(value, dict) or name not in value:
            raise Failed("States.Runtime", f"The path {path} is not in the input")
        value = value[name]
    return value


def _filled(template: Data, value: Any, item: Any = None) -> Data:
    """Return a template with its paths resolved."""
    found: Data = {}
    for name, given in template.items():
        if isinstance(given, dict):
            found[name] = _filled(given, value, item)
        elif not name.endswith(".$"):
            found[name] = given
        elif given == ITEM:
            found[name[:-2]] = item
        elif formatted := FORMAT(given):
            found[name[:-2]] = formatted[1].replace("{}", str(_path(formatted[2], value)))
        else:
            found[name[:-2]] = _path(given, value)
    return found


def _fitting(value: Any) -> Any:
    if len(json.dumps(value, ensure_ascii=False).encode()) > _MOST:
        raise Failed("States.DataLimitExceeded", f"a payload is over {_MOST} bytes")
    return value


def _task(state: Data, value: Any, context: Data) -> Any:
    """Call a function, again where a retrier has it so."""
    asked = _fitting(_filled(state["Parameters"], value))
    role = context["role"]
    if "Credentials" in state:
        role = _assumed(role, _filled(state["Credentials"], value)["RoleArn"])
    tried: dict[int, int] = {}
    while True:
        try:
            return {"Payload": _called(role, asked["FunctionName"], asked["Payload"])}
        except Failed as failed:
            _pause(state.get("Retry", []), failed, tried)


def _pause(retriers: list[Data], failed: Failed, tried: dict[int, int]) -> None:
    """Wait as a retrier says, or raise the error that none takes any more."""
    for number, retrier in enumerate(retriers):
        if {failed.error, "States.ALL"} & {*retrier["ErrorEquals"]}:
            tried[number] = tried.get(number, 0) + 1
            if tried[number] > retrier.get("MaxAttempts", 3):
                break
            growth = retrier.get("BackoffRate", 2.0) ** (tried[number] - 1)
            seconds = retrier.get("IntervalSeconds", 1) * growth
            seconds = min(seconds, retrier.get("MaxDelaySeconds", seconds))
            full = retrier.get("JitterStrategy") == "FULL"
            time.sleep(random.uniform(0, seconds) if full else seconds)  # noqa: S311
            return
    raise failed


def _called(role: str, function: str, event: Any) -> Any:
    if not may(role, "lambda:InvokeFunction", function):
        said = f"{role} is not authorized to perform: lambda:InvokeFunction on {function}"
        raise Failed("Lambda.AWSLambdaException", said)
    region, account, _, name, alias, *_ = [*function.split(":")[3:], ""]
    if account != role.split(":")[4]:
        raise Failed("Lambda.AWSLambdaException", f"{function} is of another account")
    with responses.request_scope(account, region):
        call = functions._invoke(name, event, {}, alias or None)
        status, told, body = contextvars.copy_context().run(asyncio.run, call)
    if status != _SUCCESS:
        raise Failed(f"Lambda.{told.get('x-amzn-errortype', 'AWSLambdaException')}", body.decode())
    if told.get("X-Amz-Function-Error"):
        raise Failed(json.loads(body).get("errorType", "Lambda.Unknown"), body.decode())
    return json.loads(body)


def _assumed(role: str, other: str) -> str:
    """Return the other role that a role acts as, where both sides have it so."""
    account, name = other.split(":")[4], other.rpartition("/")[2]
    with responses.request_scope(account, responses.get_region()):
        found = iam._roles.get(name)
        trust = found and evaluator.evaluate_trust_policy(found["AssumeRolePolicyDocument"], role)
    if not trust or not may(role, "sts:AssumeRole", other):
        said = f"{role} is not authorized to perform: sts:AssumeRole on resource: {other}"
        raise Failed("States.TaskFailed", said)
    return other


class MapRun:
    """One run of a map: its children, how many of them, and what it writes of them."""

    def __init__(self, state: Data, value: Any, context: Data) -> None:
        self._state, self._context = state, context
        self._parent: Data = context["execution"]
        tolerated = state.get("ToleratedFailureCountPath")
        self._tolerated: int = (
            _path(tolerated, value) if tolerated else state.get("ToleratedFailureCount", 0)
        )
        if type(self._tolerated) is not int or self._tolerated < 0:
            raise Failed("States.Runtime", "ToleratedFailureCount is no number from 0")
        self._value = value
        self._role: str = context["role"]
        self._label = f"{self._parent['stateMachineArn']}/{state.get('Label') or uuid.uuid4()}"
        self._arn = f"{self._label.replace(':stateMachine:', ':mapRun:')}:{uuid.uuid4()}"
        self._changed = threading.Condition()
        self._children: list[Data] = []
        self._next = 0
        self._counts: Data = {}

    def run(self) -> None:
        """Run all children, or as many as there may be.

        Raises:
            Failed: more failed than may, or nothing could be read or written.
        """
        machine = self._parent["stateMachineArn"]
        if not may(self._role, "states:StartExecution", machine):
            raise Failed("States.Runtime", f"{self._role} may not states:StartExecution {machine}")
        items = list(self._items())
        self._children = [self._child(item) for item in items]
        kinds = ("running", "succeeded", "failed", "timedOut", "aborted", "resultsWritten")
        self._counts = dict.fromkeys(kinds, 0) | {"pending": len(items), "total": len(items)}
        run = states._map_runs[self._arn] = {
            "mapRunArn": self._arn, "executionArn": self._parent["executionArn"],
            "status": "RUNNING", "startDate": states.now_iso(),
            "maxConcurrency": self._state.get("MaxConcurrency", 0),
            "toleratedFailureCount": self._tolerated, "toleratedFailurePercentage": 0.0,
            "itemCounts": self._counts, "executionCounts": self._counts,
            "_stateMachineArn": self._label,
        }  # fmt: skip
        status = self._work()
        self._write()
        run |= {"status": status, "stopDate": states.now_iso()}
        if status == "FAILED":
            raise Failed("States.ExceedToleratedFailureThreshold", "more failed than may")

    def _items(self) -> Iterator[Any]:
        given = _filled(self._state["ItemReader"]["Parameters"], self._value)
        self._allowed("s3:GetObject", given["Bucket"], given["Key"], "ItemReader")
        status, _, body = s3._get_object(given["Bucket"], given["Key"], {}, {})
        if status != _SUCCESS:
            raise Failed("States.ItemReaderFailed", f"there is no {given['Key']}")
        for line in bytes(body).decode().splitlines():
            yield _fitting(_filled(self._state["ItemSelector"], self._value, json.loads(line)))

    def _allowed(self, action: str, bucket: str, key: str, what: str) -> None:
        if not may(self._role, action, f"arn:aws:s3:::{bucket}/{key}"):
            raise Failed(f"States.{what}Failed", f"{self._role} may not {action} {bucket}/{key}")

    def _child(self, value: Any) -> Data:
        name = str(uuid.uuid4())
        return {
            "executionArn": f"{self._label.replace(':stateMachine:', ':execution:')}:{name}",
            "stateMachineArn": self._label, "name": name, "status": "PENDING",
            "startDate": None, "stopDate": None, "input": json.dumps(value), "output": None,
            "mapRunArn": self._arn, "events": [],
        }  # fmt: skip

    def _move(self, child: Data, status: str, **more: Any) -> None:
        self._counts[child["status"].lower()] -= 1
        self._counts[status.lower()] += 1
        child |= {"status": status, **more}

    def _work(self) -> str:
        """Start children as others end; return how the run ends."""
        most = min(self._state.get("MaxConcurrency") or _AT_ONCE, len(self._children), _AT_ONCE)
        for _ in range(most):
            scope = contextvars.copy_context()
            threading.Thread(target=scope.run, args=(self._worker,), daemon=True).start()
        with self._changed:
            while True:
                counts = self._counts
                stopped = self._parent["status"] != "RUNNING"
                if stopped or counts["failed"] > self._tolerated:
                    self._abort()
                    return "ABORTED" if stopped else "FAILED"
                if not counts["pending"] and not counts["running"]:
                    return "SUCCEEDED"
                self._changed.wait(0.2)

    def _abort(self) -> None:
        """Start no more, and end what runs; a function that was called knows nothing of it."""
        self._next = len(self._children)
        for child in self._children:
            if child["status"] == "RUNNING":
                self._move(child, "ABORTED", stopDate=states.now_iso())

    def _worker(self) -> None:
        while True:
            with self._changed:
                if self._next >= len(self._children):
                    return
                child = self._children[self._next]
                self._next += 1
                self._move(child, "RUNNING", startDate=states.now_iso())
            states._executions[child["executionArn"]] = child
            ended = self._ended(child)
            with self._changed:
                if child["status"] == "RUNNING":
                    self._move(child, **ended, stopDate=states.now_iso())
                if self._counts["failed"] > self._tolerated:
                    self._next = len(self._children)
                self._changed.notify()

    def _ended(self, child: Data) -> Data:
        context = {**self._context, "execution": child}
        try:
            output = _machine(self._state["ItemProcessor"], json.loads(child["input"]), context)
        except Failed as failed:
            return {"status": "FAILED", "error": failed.error, "cause": failed.cause}
        return {"status": "SUCCEEDED", "output": json.dumps(output)}

    def _write(self) -> None:
        """Write what came of the children, and where that is."""
        given = _filled(self._state["ResultWriter"]["Parameters"], self._value)
        bucket = given["Bucket"]
        prefix = f"{given['Prefix']}/{self._arn.rpartition(':')[2]}"
        files: dict[str, list[Data]] = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
        kinds = {"ABORTED": "FAILED"}
        for kind, listed in files.items():
            of = [
                each for each in self._children if kinds.get(each["status"], each["status"]) == kind
            ]
            if of:
                key = f"{prefix}/{kind}_0.jsonl"
                body = "".join(f"{json.dumps(_told(child))}\n" for child in of).encode()
                self._put(bucket, key, body)
                listed.append({"Key": key, "Size": len(body)})
        manifest = {"DestinationBucket": bucket, "MapRunArn": self._arn, "ResultFiles": files}
        self._put(bucket, f"{prefix}/manifest.json", json.dumps(manifest).encode())

    def _put(self, bucket: str, key: str, body: bytes) -> None:
        self._allowed("s3:PutObject", bucket, key, "ResultWriter")
        status, *_ = s3._put_object(bucket, key, body, {})
        if status != _SUCCESS:
            raise Failed("States.ResultWriterFailed", f"{bucket}/{key} cannot be written")


def _told(child: Data) -> Data:
    """Return a child as a map run writes it: texts in JSON, names with a capital."""
    names = ("executionArn", "input", "name", "output", "startDate", "stateMachineArn", "status",
             "stopDate", "error", "cause")  # fmt: skip
    found = {name[0].upper() + name[1:]: child[name] for name in names if child.get(name)}
    return {**found, "InputDetails": {"Included": True}}
