"""Which definitions of state machines Step Functions would take, of those that ours are made of.

What is not in these tables is refused, be it wrong or only unknown here: an emulator that passed
over a field would say of a definition that it works. Sources: Amazon States Language
(states-language.net/spec.html), and of the Step Functions Developer Guide "Map state in
Distributed mode", "ItemReader", "ResultWriter", "Credentials" and "Handling errors".
"""

import json
import re
from collections.abc import Iterator
from typing import Any

Fields = dict[str, type | tuple[type, ...]]

_STATE: Fields = {"Type": str, "Comment": str}
_NEXT: Fields = {"Next": str, "End": bool}
_STATES: dict[str, Fields] = {
    "Succeed": _STATE,
    "Choice": {**_STATE, "Choices": list, "Default": str},
    "Task": {
        **_STATE, **_NEXT, "Resource": str, "Credentials": dict, "Parameters": dict,
        "TimeoutSeconds": int, "Retry": list, "OutputPath": str,
    },
    "Map": {
        **_STATE, **_NEXT, "Label": str, "ItemReader": dict, "ItemSelector": dict,
        "ItemProcessor": dict, "MaxConcurrency": int, "ResultWriter": dict,
        "ResultPath": type(None), "ToleratedFailureCount": int, "ToleratedFailureCountPath": str,
    },
}  # fmt: skip
_NEEDED = {
    "Choice": ("Choices",),
    "Task": ("Resource", "Parameters"),
    "Map": ("ItemProcessor", "ItemReader"),
}
_RULE: Fields = {"Variable": str, "IsPresent": bool, "Next": str}
_RETRIER: Fields = {
    "ErrorEquals": list, "IntervalSeconds": int, "BackoffRate": (int, float), "MaxAttempts": int,
    "MaxDelaySeconds": int, "JitterStrategy": str,
}  # fmt: skip
_READER = {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSONL"}}
_WRITER = {
    "Resource": "arn:aws:states:::s3:putObject",
    "WriterConfig": {"Transformation": "NONE", "OutputType": "JSONL"},
}
_PROCESSOR = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
_LABEL = re.compile(r"[^\s?*<>{}\[\]:;,\\|^~$#%&`\"\x00-\x1f\x7f-\x9f]{1,40}").fullmatch
# How much of a path is known here: a value of the input, or of the context a map's item.
PATH = re.compile(r"\$(\.[A-Za-z_]\w*)*").fullmatch
ITEM = "$$.Map.Item.Value"
FORMAT = re.compile(r"States\.Format\('([^'{}]*\{\}[^'{}]*)', (\$(?:\.\w+)+)\)").fullmatch


def problems(text: object) -> list[str]:
    """Return what is wrong with a definition, or unknown here."""
    try:
        definition = json.loads(str(text))
    except ValueError as error:
        return [f"no JSON: {error}"]
    if not isinstance(definition, dict):
        return ["no object"]
    return list(_machine(definition, "", {"Comment": str, "TimeoutSeconds": int}))


def _machine(machine: dict[str, Any], at: str, more: Fields) -> Iterator[str]:
    yield from _fields(machine, {"StartAt": str, "States": dict, **more}, at)
    states = machine.get("States", {})
    if machine.get("StartAt") not in states:
        yield f"{at}/StartAt: there is no such state"
    for name, state in states.items():
        yield from _state(state, f"{at}/States/{name}", states)


def _state(state: Any, at: str, states: dict[str, Any]) -> Iterator[str]:
    kind = state.get("Type") if isinstance(state, dict) else None
    if kind not in _STATES:
        yield f"{at}: a state of type {kind} is unknown"
        return
    if wrong := list(_fields(state, _STATES[kind], at)):
        yield from wrong
        return
    yield from (f"{at}: {name} is missing" for name in _NEEDED.get(kind, ()) if name not in state)
    if kind in {"Task", "Map"} and ("Next" in state) == (state.get("End") is True):
        yield f"{at}: exactly one of Next and End"
    rules = state.get("Choices", [])
    for name in (state.get("Next"), state.get("Default"), *(rule.get("Next") for rule in rules)):
        if name is not None and name not in states:
            yield f"{at}: there is no state {name}"
    for number, rule in enumerate(rules):
        yield from _fields(rule, _RULE, f"{at}/Choices/{number}")
    yield from _paths(state, at)
    yield from {"Task": _task, "Map": _map}.get(kind, lambda *_: ())(state, at)


def _fields(given: Any, known: Fields, at: str) -> Iterator[str]:
    for name, value in given.items():
        if name not in known:
            yield f"{at}/{name}: unknown field"
        elif not isinstance(value, known[name]) or (
            isinstance(value, bool) and known[name] is not bool
        ):
            yield f"{at}/{name}: of another kind"


def _paths(state: dict[str, Any], at: str) -> Iterator[str]:
    for name, value in state.items():
        if name in {"ItemProcessor", "Choices"}:
            continue
        if isinstance(value, dict):
            yield from _paths(value, f"{at}/{name}")
        elif name.endswith(".$"):
            if not isinstance(value, str) or not (PATH(value) or value == ITEM or FORMAT(value)):
                yield f"{at}/{name}: {value} is no path that is known here"
        elif name.endswith("Path") and value is not None and not PATH(value):
            yield f"{at}/{name}: {value} is no path that is known here"


def _task(state: dict[str, Any], at: str) -> Iterator[str]:
    if state.get("Resource") != "arn:aws:states:::lambda:invoke":
        yield f"{at}/Resource: {state.get('Resource')} is unknown"
    if {name.removesuffix(".$") for name in state.get("Parameters", {})} != {
        "FunctionName", "Payload",
    }:  # fmt: skip
        yield f"{at}/Parameters: not a FunctionName and a Payload"
    if "Credentials" in state and set(state["Credentials"]) - {"RoleArn", "RoleArn.$"}:
        yield f"{at}/Credentials: not a RoleArn"
    for number, retrier in enumerate(state.get("Retry", [])):
        yield from _fields(retrier, _RETRIER, f"{at}/Retry/{number}")
        if not retrier.get("ErrorEquals"):
            yield f"{at}/Retry/{number}: ErrorEquals is missing"
        if retrier.get("JitterStrategy", "NONE") not in {"FULL", "NONE"}:
            yield f"{at}/Retry/{number}/JitterStrategy: not FULL or NONE"


def _map(state: dict[str, Any], at: str) -> Iterator[str]:
    processor = dict(state.get("ItemProcessor", {}))
    if processor.pop("ProcessorConfig", None) != _PROCESSOR:
        yield f"{at}/ItemProcessor/ProcessorConfig: not {_PROCESSOR}"
    yield from _machine(processor, f"{at}/ItemProcessor", {})
    for name, wanted, key in (("ItemReader", _READER, "Key"), ("ResultWriter", _WRITER, "Prefix")):
        found = dict(state.get(name, {"Parameters": {}, **wanted}))
        given = {each.removesuffix(".$") for each in found.pop("Parameters", {})}
        if found != wanted or given not in ({"Bucket", key}, set()):
            yield f"{at}/{name}: not {wanted} with Bucket and {key}"
    if "Label" in state and not _LABEL(str(state["Label"])):
        yield f"{at}/Label: at most 40 characters, and none that an ARN has not"
    if {"ToleratedFailureCount", "ToleratedFailureCountPath"} <= set(state):
        yield f"{at}: ToleratedFailureCount and its Path exclude each other"
    if state.get("MaxConcurrency", 0) < 0:
        yield f"{at}/MaxConcurrency: less than 0"
