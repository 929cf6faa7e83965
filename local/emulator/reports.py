"""Report groups, which CodeBuild makes at run time for a buildspec's reports and ministack has not.

A group of the name in the buildspec belongs to the project and is called PROJECT-NAME. It outlives
the project (CodeBuild, "Create a report group" and "Delete a report group").
"""

import json
from collections.abc import Callable
from typing import Any

from local.emulator.patches import module, wrap
from local.emulator.resources import Request, naming

actions = module("ministack.core.iam_actions")
codebuild = module("ministack.services.codebuild")
responses = module("ministack.core.responses")

Data = dict[str, Any]
_groups: dict[str, Data] = {}


def patch() -> None:
    """Serve the operations, and let IAM see what they are about."""
    wrap(codebuild, "_handle_request_sync", _with_groups)
    wrap(actions, "extract_resource_arn", naming(_named))


def _with_groups(original: Any) -> Any:
    operations: dict[str, Callable[[Data], Any]] = {
        "CreateReportGroup": _create,
        "BatchGetReportGroups": _get,
        "ListReportGroups": _list,
        "DeleteReportGroup": _delete,
    }

    def handle(method: str, path: str, headers: Any, body: bytes, parameters: Any) -> Any:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        if operation in operations:
            return operations[operation](json.loads(body or b"{}"))
        return original(method, path, headers, body, parameters)

    return handle


def _create(data: Data) -> Any:
    scope = f"{responses.get_region()}:{responses.get_account_id()}"
    arn = f"arn:aws:codebuild:{scope}:report-group/{data['name']}"
    if arn in _groups:
        return responses.error_response_json("ResourceAlreadyExistsException", arn, 400)
    _groups[arn] = {"arn": arn, **data}
    return responses.json_response({"reportGroup": _groups[arn]})


def _get(data: Data) -> Any:
    arns = data["reportGroupArns"]
    return responses.json_response(
        {
            "reportGroups": [_groups[arn] for arn in arns if arn in _groups],
            "reportGroupsNotFound": [arn for arn in arns if arn not in _groups],
        }
    )


def _list(_data: Data) -> Any:
    scope = f":{responses.get_region()}:{responses.get_account_id()}:"
    return responses.json_response({"reportGroups": [arn for arn in _groups if scope in arn]})


def _delete(data: Data) -> Any:
    _groups.pop(data["arn"], None)
    return responses.json_response({})


def _named(request: Request, arn: str) -> str:
    """Name the group that a request is about: the first of several."""
    if request.service != "codebuild":
        return arn
    try:
        data = json.loads(request.body or b"{}")
    except ValueError:
        return arn
    if "type" in data and "exportConfig" in data:  # CreateReportGroup
        return f"arn:aws:codebuild:{request.scope}:report-group/{data['name']}"
    named = [data.get("arn"), *data.get("reportGroupArns", [])]
    return next((one for one in named if one and ":report-group/" in one), arn)
