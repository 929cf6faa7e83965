"""Give Lambda functions the network interfaces and the sleep that they have on AWS."""

# ruff: noqa: SLF001 (patching private names is this module's purpose)

import contextvars
import functools
import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

from local.emulator.iam import may
from local.emulator.patches import module, replace, wrap

ec2 = module("ministack.services.ec2")
functions = module("ministack.services.lambda_svc")
responses = module("ministack.core.responses")
sts = module("ministack.services.sts")

Response = tuple[int, dict[str, str], bytes]

_LINGER = 1.0  # seconds that a deleted function's interfaces stay; up to 20 minutes on AWS
_WAKING = 1.0  # seconds that an Inactive function takes; a minute or so on AWS
_NEVER = 2.0**40  # seconds since 1970
_SUCCESS = range(200, 300)
_TROUBLE = "local:"
_WELL = {
    "State": "Active",
    "StateReason": "",
    "StateReasonCode": "",
    "LastUpdateStatus": "Successful",
    "LastUpdateStatusReason": "",
    "LastUpdateStatusReasonCode": "",
}


def patch() -> None:
    """Replace what makes, changes, calls and deletes functions."""
    wrap(functions, "_create_function", _creating)
    wrap(functions, "_update_config", _updating)
    wrap(functions, "_delete_function", _deleting)
    # Whoever looks at released interfaces, or meets them, is noticed.
    for action in ("DescribeNetworkInterfaces", "DeleteSecurityGroup", "DeleteSubnet"):
        wrap(ec2, "_ACTION_MAP", _looking, entry=action)
    wrap(functions, "_tag_resource", _tagging)
    replace(functions, "_schedule_state_transition", _settle_later)
    wrap(functions, "_invoke", _waking_first)
    wrap(sts, "register_session", _with_an_end)


def _creating(original: Any) -> Any:

    def create(data: dict[str, Any]) -> Response:
        inside = data.get("VpcConfig", {}).get("SubnetIds")
        if inside and not may(data["Role"], "ec2:CreateNetworkInterface", "*"):
            refusal: Response = responses.error_response_json(
                "InvalidParameterValueException",
                "The provided execution role does not have permissions to call "
                "CreateNetworkInterface on EC2",
                400,
            )
            return refusal
        response: Response = original(data)
        if response[0] in _SUCCESS:
            _attach(data["FunctionName"])
        return response

    return create


def _updating(original: Any) -> Any:

    def update(name: str, data: dict[str, Any]) -> Response:
        response: Response = original(name, data)
        if response[0] in _SUCCESS and "VpcConfig" in data:
            _release(name, functions._functions[name]["config"]["Role"])
            _attach(name)
        return response

    return update


def _deleting(original: Any) -> Any:

    def delete(name: str, parameters: dict[str, Any], version: str | None = None) -> Response:
        known = functions._functions.get(name) or {"config": {"Role": ""}}
        response: Response = original(name, parameters, version)
        if response[0] in _SUCCESS and name not in functions._functions:
            _release(name, known["config"]["Role"])
        return response

    return delete


def _attach(name: str) -> None:
    """Make an interface in each of the function's subnets."""
    network = functions._functions[name]["config"].get("VpcConfig") or {}
    for subnet in network.get("SubnetIds", []):
        groups = {f"SecurityGroupId.{n}": g for n, g in enumerate(network["SecurityGroupIds"], 1)}
        known = set(ec2._network_interfaces.keys())
        description = f"AWS Lambda VPC ENI-{name}-{uuid.uuid4()}"
        ec2._create_network_interface({"SubnetId": subnet, "Description": description, **groups})
        (identifier,) = set(ec2._network_interfaces.keys()) - known
        interface = ec2._network_interfaces[identifier]
        interface |= {"InterfaceType": "lambda", "Status": "in-use", "_function": name}


def _release(name: str, role: str) -> None:
    """Let the function's interfaces go a while after somebody looked; no test has 20 minutes."""
    for interface in ec2._network_interfaces.values():
        if interface.get("_function") == name:
            interface |= {"_function": "", "_releasing": role}


def _looking(original: Callable[..., Response]) -> Callable[..., Response]:
    def look(parameters: dict[str, Any]) -> Response:
        for identifier, interface in list(ec2._network_interfaces.items()):
            if role := interface.pop("_releasing", None):
                _later(_LINGER, functools.partial(_leave, identifier, role))
        return original(parameters)

    return look


def _leave(interface: str, role: str) -> None:
    """Delete an interface if its function's role still may, else it stays for ever."""
    if may(role, "ec2:DeleteNetworkInterface", "*"):
        del ec2._network_interfaces[interface]


def _later(seconds: float, action: Callable[[], None]) -> None:
    """Act in a while, as the account and in the region of this request."""
    timer = threading.Timer(seconds, contextvars.copy_context().run, (action,))
    timer.daemon = True
    timer.start()


def _waking_first(original: Any) -> Any:
    """Have the first call of an Inactive function fail and wake it."""

    async def invoke(name: str, *rest: Any, **options: Any) -> Any:
        function = functions._functions.get(name)
        if function and function["config"]["State"] == "Inactive":
            function["waking"] = True
            function["tags"].pop(f"{_TROUBLE}State", None)
            _set_states(function, {"State": "Pending"})
            functions._schedule_state_transition(name, _WAKING)
        if function and function.get("waking"):
            return _not_ready(function["config"]["FunctionArn"])
        return await original(name, *rest, **options)

    return invoke


def _not_ready(arn: str) -> Response:
    message = f"The function {arn} is currently in the following state: Pending"
    body = json.dumps({"Type": "User", "Message": message}).encode()
    return 502, {"x-amzn-errortype": "ResourceNotReadyException"}, body


def _tagging(tag: Any) -> Any:
    """End what AWS does in the background as the function's tags local:… say, else well."""

    def tagging(arn: str, data: dict[str, Any]) -> Response:
        response: Response = tag(arn, data)
        if function := functions._functions.get(arn.rpartition(":")[2]):
            _set_states(function, _troubles(function))
        return response

    return tagging


def _settle_later(name: str, delay: float) -> None:
    def settle() -> None:
        if function := functions._functions.get(name):
            function.pop("waking", None)
            _set_states(function, _WELL | _troubles(function))

    _later(delay, settle)


def _troubles(function: dict[str, Any]) -> dict[str, str]:
    """Return what tags such as `local:State` = `Inactive` say of time that no test can wait."""
    tags = function["tags"]
    return {k.removeprefix(_TROUBLE): v for k, v in tags.items() if k.startswith(_TROUBLE)}


def _set_states(function: dict[str, Any], states: dict[str, str]) -> None:
    for record in (function, *function["versions"].values()):
        record["config"] |= states


def _with_an_end(register: Any) -> Any:
    """Say when a function's credentials end: a database takes no tokens of others."""

    def registering(key: str, session: dict[str, Any]) -> Any:
        return register(key, {"Expiration": _NEVER, **session})

    return registering
