"""Give ministack Session Manager's sessions and Instance Connect's keys, which it lacks.

A session is only remembered: nothing carries its data, which on AWS is the plugin's and the agent's
work. IAM is asked as on AWS, for the instance and for the document of a session.
"""
# ruff: noqa: SLF001 (patching private names is this module's purpose)

import dataclasses
import json
import secrets
from typing import Any

from local.emulator.patches import add, module, wrap
from local.emulator.questions import Ask, Question, asking
from local.emulator.resources import Request, naming

actions = module("ministack.core.iam_actions")
evaluator = module("ministack.core.iam_evaluator")
responses = module("ministack.core.responses")
router = module("ministack.core.router")
ec2 = module("ministack.services.ec2")
ssm = module("ministack.services.ssm")
sts = module("ministack.services.sts")
app = module("ministack.app")

Data = dict[str, Any]

_INSTANCE_CONNECT = "ec2-instance-connect"
_DEFAULT_DOCUMENT = "SSM-SessionManagerRunShell"
_OWNER = "ssm:resourcetag/aws:ssmmessages:session-id"
_USERID = "${aws:userid}"
_DOCUMENT = "document"  # of the request, between the two questions to IAM

_sessions: dict[str, Data] = {}


def patch() -> None:
    """Serve the operations, and let IAM see what they are about."""
    targets = {"target_prefixes": ["AWSEC2InstanceConnectService"]}
    add(router, "SERVICE_PATTERNS", _INSTANCE_CONNECT, targets)
    add(actions, "SERVICE_TO_IAM_NAMESPACE", _INSTANCE_CONNECT, _INSTANCE_CONNECT)
    add(app, "SERVICE_HANDLERS", _INSTANCE_CONNECT, _instance_connect)
    wrap(ssm, "handle_request", _with_sessions)
    wrap(actions, "extract_resource_arn", naming(_named))
    wrap(actions, "request_tag_context", _with_facts)
    wrap(evaluator, "enforce", asking(_DOCUMENT, _with_document))
    wrap(evaluator, "evaluate", _with_userid)


def _with_sessions(original: Any) -> Any:
    operations = {
        "StartSession": _start,
        "TerminateSession": _terminate,
        "DescribeSessions": _describe,
    }

    async def handle(method: str, path: str, headers: Any, body: bytes, parameters: Any) -> Any:
        name = headers.get("x-amz-target", "").rpartition(".")[2]
        if operation := operations.get(name):
            return operation(json.loads(body), _userid(headers, parameters))
        return await original(method, path, headers, body, parameters)

    return handle


def _userid(headers: Any, parameters: Any) -> str:
    """Return the caller's aws:userid: ROLE-ID:SESSION-NAME, or the account for its root."""
    session = sts._sessions.get(router.extract_access_key_id(headers, parameters)) or {}
    return str(session.get("UserId") or responses.get_account_id())


def _start(data: Data, owner: str) -> Any:
    target = data["Target"]
    if _state(target) != "running":
        return _error("TargetNotConnected", f"{target} is not connected.")
    name = f"{owner.rpartition(':')[2]}-{secrets.token_hex(9)}"
    _sessions[name] = {
        "SessionId": name,
        "Target": target,
        "Status": "Connected",
        "DocumentName": data.get("DocumentName", _DEFAULT_DOCUMENT),
        "Owner": owner,
        "account": responses.get_account_id(),
    }
    host = f"ssmmessages.{responses.get_region()}.amazonaws.com"
    return responses.json_response(
        {
            "SessionId": name,
            "TokenValue": secrets.token_urlsafe(200),
            "StreamUrl": f"wss://{host}/v1/data-channel/{name}?role=publish_subscribe",
        }
    )


def _terminate(data: Data, _owner: str) -> Any:
    if session := _sessions.get(data["SessionId"]):
        session["Status"] = "Terminated"
    return responses.json_response({"SessionId": data["SessionId"]})


def _describe(data: Data, _owner: str) -> Any:
    status = {"Active": "Connected", "History": "Terminated"}[data["State"]]
    account = responses.get_account_id()
    found = [
        {key: value for key, value in session.items() if key != "account"}
        for session in _sessions.values()
        if session["account"] == account and session["Status"] == status
    ]
    return responses.json_response({"Sessions": found})


async def _instance_connect(
    _method: str, _path: str, _headers: Any, body: bytes, _parameters: Any
) -> Any:
    """Answer SendSSHPublicKey; on AWS the key is in the instance's metadata for 60 seconds."""
    target = json.loads(body)["InstanceId"]
    if _state(target) != "running":
        return _error("EC2InstanceStateInvalidException", f"{target} is not running.")
    return responses.json_response({"RequestId": secrets.token_hex(16), "Success": True})


def _state(target: str) -> str:
    return str((ec2._instances.get(target) or {"State": {"Name": ""}})["State"]["Name"])


def _error(code: str, message: str) -> Any:
    return responses.error_response_json(code, message, 400)


def _named(request: Request, arn: str) -> str:
    """Name the instance or the session that a request is about."""
    if request.service in {"ssm", _INSTANCE_CONNECT}:
        data = _read(request.body)
        if target := data.get("Target") or data.get("InstanceId"):
            return f"arn:aws:ec2:{request.scope}:instance/{target}"
        if session := data.get("SessionId"):
            return f"arn:aws:ssm:{request.scope}:session/{session}"
    return arn


def _with_facts(original: Any) -> Any:
    """Provide the tags of the instance, the owner of the session and the user of the key."""

    def context(service: str, action: str, body: Any, parameters: Any) -> Data:
        found: Data = dict(original(service, action, body, parameters))
        if service not in {"ssm", _INSTANCE_CONNECT}:
            return found
        data = _read(body)
        for tag in ec2._tags.get(data.get("Target") or data.get("InstanceId")) or []:
            for prefix in ("aws", "ssm") if service == "ssm" else ("aws", "ec2"):
                found[f"{prefix}:resourcetag/{tag['Key']}".lower()] = tag["Value"]
        if session := _sessions.get(data.get("SessionId", "")):
            found[_OWNER] = session["Owner"]
        if user := data.get("InstanceOSUser"):
            found["ec2:osuser"] = user
        if action == "ssm:StartSession":
            found["ssm:sessiondocumentaccesscheck"] = "true"
            found[_DOCUMENT] = data.get("DocumentName", _DEFAULT_DOCUMENT)
        return found

    return context


def _with_document(ask: Ask, question: Question, document: str | None) -> Any:
    """Ask for the session's document too: only who may use both may start the session."""
    denied = ask(question)
    if denied or not document:
        return denied
    owner = "" if document.startswith("AWS-") else responses.get_account_id()
    arn = f"arn:aws:ssm:{question.region}:{owner}:document/{document}"
    untagged = {k: v for k, v in question.context.items() if "resourcetag/" not in k}
    return ask(question._replace(arn=arn, context=untagged))


def _with_userid(original: Any) -> Any:
    """Put the caller's id for ${aws:userid} in policies, which ministack takes literally."""

    def evaluate(context: Any, policies: Any, *limits: Any) -> Any:
        userid = str(context.principal_keys.get("aws:userid", ""))
        own = [[_filled(statement, userid) for statement in policy] for policy in policies]
        return original(context, own, *limits)

    return evaluate


def _filled(statement: Any, userid: str) -> Any:
    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fill(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [fill(inner) for inner in value]
        return value.replace(_USERID, userid) if isinstance(value, str) else value

    return dataclasses.replace(
        statement, resources=fill(statement.resources), conditions=fill(statement.conditions)
    )


def _read(body: Any) -> Data:
    try:
        data = json.loads(body or b"{}")
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
