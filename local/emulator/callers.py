"""What depends on who asks, and ministack leaves out: roles that are passed, tags that are hidden.

A boundary may ask for a resource's tags as a policy may, so IAM always looks at them.

A service acts as the role that it is given, so AWS lets only who may pass a role give it away:
iam:PassRole on the role, with the service as iam:PassedToService. The rows are from the Service
Authorization Reference (dependent actions of CreateFunction, AddRoleToInstanceProfile, RunInstances
and AssociateIamInstanceProfile), and where that is silent from the services' own guides: CodeBuild,
Identity-based policies ("iam:PassRole" to create and to change projects), EventBridge, Using IAM
roles (targets with a RoleArn), Lambda, UpdateFunctionConfiguration (the Role of the request), Step
Functions, Creating IAM roles (who makes or changes a state machine passes its role).
"""

import contextvars
import json
from collections.abc import Iterator
from typing import Any

from local.emulator.patches import module, replace, wrap
from local.emulator.questions import Ask, Question, asking, telling

actions = module("ministack.core.iam_actions")
app = module("ministack.app")
evaluator = module("ministack.core.iam_evaluator")
functions = module("ministack.services.lambda_svc")
iam = module("ministack.services.iam")
responses = module("ministack.core.responses")

# Where an action's request names the role, and the service that will act as it.
_JSON = {
    "lambda:CreateFunction": ("Role", "lambda.amazonaws.com"),
    "lambda:UpdateFunctionConfiguration": ("Role", "lambda.amazonaws.com"),
    "codebuild:CreateProject": ("serviceRole", "codebuild.amazonaws.com"),
    "codebuild:UpdateProject": ("serviceRole", "codebuild.amazonaws.com"),
    "states:CreateStateMachine": ("roleArn", "states.amazonaws.com"),
    "states:UpdateStateMachine": ("roleArn", "states.amazonaws.com"),
    "events:PutTargets": ("Targets.RoleArn", "events.amazonaws.com"),
}
_FORMS = {
    "iam:AddRoleToInstanceProfile": ("RoleName",),
    "ec2:RunInstances": ("IamInstanceProfile.Name", "IamInstanceProfile.Arn"),
    "ec2:AssociateIamInstanceProfile": ("IamInstanceProfile.Name", "IamInstanceProfile.Arn"),
}
_INSTANCES = "ec2.amazonaws.com"
_PASSED = "passed"
_key: contextvars.ContextVar[str] = contextvars.ContextVar("key", default="")
PASSING = (*_JSON, *_FORMS)


def patch() -> None:
    """Replace what asks IAM about a request, and what tells of a function."""
    wrap(actions, "request_tag_context", telling(_PASSED, _roles))
    wrap(evaluator, "enforce", asking(_PASSED, _with_roles))
    wrap(functions, "_get_function", _hiding_tags)
    replace(evaluator, "_names_condition_key", _always)
    wrap(app, "pin_request_origin", _by_tls)


def _by_tls(original: Any) -> Any:
    """Have policies take a request for one by TLS, which AWS's clients use and the stack's do not.

    Else a bucket that refuses what comes in the clear would refuse every role.
    """
    return lambda source_ip, _secure: original(source_ip, True)


def _always(_policies: Any, _prefix: str) -> bool:
    """Say that tags are asked for, also where only the boundary does."""
    return True


def _roles(_service: str, action: str, body: Any, parameters: Any) -> list[tuple[str, str]]:
    return list(_passed(action, body, parameters))


def _with_roles(ask: Ask, question: Question, roles: list[tuple[str, str]] | None) -> Any:
    """Ask for the roles that a request gives away as well."""
    _key.set(question.access_key)
    denied = ask(question)
    for role, to in roles or ():
        passing = {"action": "iam:PassRole", "service": "iam", "arn": role}
        denied = denied or ask(question._replace(**passing, context={"iam:PassedToService": to}))
    return denied


def _passed(action: str, body: Any, parameters: Any) -> Iterator[tuple[str, str]]:
    """Yield the ARNs of the roles that a request gives away, and to whom."""
    if action in _JSON:
        field, service = _JSON[action]
        for role in _values(json.loads(body or b"{}"), field.split(".")):
            yield role, service
    for name in _FORMS.get(action, ()):
        if value := actions._query_param(parameters, name):  # noqa: SLF001
            yield from ((role, _INSTANCES) for role in _roles_of(name, value))


def _values(document: Any, names: list[str]) -> Iterator[str]:
    if isinstance(document, list):
        for one in document:
            yield from _values(one, names)
    elif not names:
        yield str(document)
    elif isinstance(document, dict) and document.get(names[0]):
        yield from _values(document[names[0]], names[1:])


def _roles_of(parameter: str, value: str) -> list[str]:
    """Return the ARNs of a role by its name, or of the roles in an instance profile."""
    if parameter == "RoleName":
        names = [value]
    else:
        profile = iam._instance_profiles.get(value.rpartition("/")[2])  # noqa: SLF001
        names = profile["Roles"] if profile else []
    account = responses.get_account_id()
    known = [iam._roles.get(name) for name in names]  # noqa: SLF001
    found = [role["Arn"] for role in known if role]
    return found or [f"arn:aws:iam::{account}:role/{name}" for name in names]


def _hiding_tags(original: Any) -> Any:
    """Leave a function's tags out for who may not list them.

    Lambda's model, GetFunctionResponse.Tags: "Lambda returns tag data only if you have explicit
    allow permissions for lambda:ListTags".
    """

    def get(name: str, qualifier: str | None = None) -> Any:
        response: tuple[int, dict[str, str], bytes] = original(name, qualifier)
        arn = functions._func_arn(name)  # noqa: SLF001
        region = responses.get_region()
        if response[0] >= 300 or not evaluator.enforce(  # noqa: PLR2004
            _key.get(), "lambda:ListTags", "lambda", region, arn
        ):
            return response
        answer = json.loads(response[2])
        answer.pop("Tags", None)
        return functions.json_response(answer)

    return get
