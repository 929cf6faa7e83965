"""Signed code: Signer's jobs for Lambda really sign, and Lambda looks at what it is given.

ministack's Signer writes a receipt for this platform, and its Lambda has no code signing. What AWS
says, and where:

- a source is a version of an object in a versioned bucket: Signer API Reference, StartSigningJob;
- a job is asked for and then waited for; a cancelled profile signs nothing more: the same,
  DescribeSigningJob and CancelSigningProfile;
- Signer reads and writes the buckets, and Lambda reads them, in the name of who asks: Signer
  Developer Guide, Signing Lambda code; Lambda Developer Guide, Deploying .zip files from S3;
- under Enforce, code that is unsigned, expired or of a publisher who is not allowed is refused with
  CodeVerificationFailedException; what was changed after it was signed is refused under any policy,
  with InvalidCodeSignatureException: Lambda API Reference, CreateFunction, UpdateFunctionCode;
- a configuration in use cannot be deleted: Lambda API Reference, DeleteCodeSigningConfig.
"""
# ruff: noqa: SLF001 (patching private names is this module's purpose)

import base64
import hashlib
import hmac
import io
import json
import secrets
import time
import zipfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from local.emulator.patches import module, wrap
from local.emulator.questions import Ask, Question, asking, telling
from local.emulator.resources import Request, naming

actions = module("ministack.core.iam_actions")
evaluator = module("ministack.core.iam_evaluator")
functions = module("ministack.services.lambda_svc")
responses = module("ministack.core.responses")
s3 = module("ministack.services.s3")
signer = module("ministack.services.signer")

PLATFORM = "AWSLambda-SHA384-ECDSA"
SIGNATURE = "META-INF/aws_signer_signature_v1.0.SF"
_CONFIGS, _OF_FUNCTION = "code-signing-configs", "code-signing-config"
_READS = "signed-code"
_KEY = secrets.token_bytes(32)  # what only Signer has
Data = dict[str, Any]
Response = tuple[int, dict[str, str], bytes]
_configs: dict[str, Data] = {}  # by their ARNs
_of_functions: dict[str, str] = {}  # the ARN of a function's configuration, by the function's own


def patch() -> None:
    """Replace how Lambda's code is signed, and how a function gets its code."""
    wrap(signer, "_start_signing_job", _starting)
    wrap(signer, "_describe_signing_job", _describing)
    wrap(signer, "_signing_key", _key_of_lambda)
    wrap(signer, "_iot_signed_object", _signing)
    wrap(signer, "handle_request", _with_profiles)
    wrap(functions, "_create_function", _creating)
    wrap(functions, "_update_code", _updating)
    wrap(functions, "_delete_function", _deleting)
    wrap(functions, "handle_request", _with_configs)
    wrap(actions, "_lambda_action", _naming_actions)
    wrap(actions, "extract_resource_arn", naming(_named))
    wrap(actions, "request_tag_context", telling(_READS, _objects))
    wrap(actions, "request_tag_context", _with_config)
    wrap(evaluator, "enforce", asking(_READS, _with_objects))


# Signer


def _starting(start: Any) -> Any:
    def starting(body: Data, headers: Any = None) -> Response:
        source = (body.get("source") or {}).get("s3") or {}
        profile = signer._profiles.get(body.get("profileName"))
        if profile and profile["status"] != "Active":
            return _error("ValidationException", f"{profile['profileName']} is not active")
        if profile and profile["platformId"] == PLATFORM:
            if s3._bucket_versioning.get(source.get("bucketName")) != "Enabled":
                return _error("ValidationException", "The source bucket must be version enabled")
            if not source.get("version"):
                return _error("ValidationException", "source.s3.version is required")
        response: Response = start(body, headers)
        if profile and response[0] < 300:  # noqa: PLR2004
            signer._jobs[json.loads(response[2])["jobId"]]["asked"] = True
        return response

    return starting


def _describing(describe: Any) -> Any:
    """Have who asks for the first time be told that the job is not done yet."""

    def describing(identity: str) -> Response:
        new = (signer._jobs.get(identity) or {}).pop("asked", False)
        response: Response = describe(identity)
        if new:
            job = json.loads(response[2])
            job.pop("signedObject", None)
            answer: Response = responses.json_response({**job, "status": "InProgress"})
            return answer
        return response

    return describing


def _key_of_lambda(original: Any) -> Any:
    return lambda profile: profile if profile["platformId"] == PLATFORM else original(profile)


def _signing(original: Any) -> Any:
    def signing(key: Any, data: bytes, *source: Any) -> bytes | None:
        if isinstance(key, dict):
            return _signed(data, key)
        result: bytes | None = original(key, data, *source)
        return result

    return signing


def _signed(data: bytes, profile: Data) -> bytes | None:
    """Return a zip with a signature in it, None for what is no zip."""
    try:
        contents = _contents(data)
    except zipfile.BadZipFile:
        return None
    expires = signer._signature_expires_at(time.time(), profile.get("signatureValidityPeriod"))
    said = {"profile": profile["profileVersionArn"], "expires": expires}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as signed:
        for name, content in contents.items():
            signed.writestr(zipfile.ZipInfo(name), content)
        signature = {**said, "mac": _mac(contents, said), "at": time.time_ns()}
        signed.writestr(SIGNATURE, json.dumps(signature))
    return buffer.getvalue()


def _contents(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        return {name: package.read(name) for name in package.namelist() if name != SIGNATURE}


def _mac(contents: dict[str, bytes], said: Data) -> str:
    digests = {name: hashlib.sha256(text).hexdigest() for name, text in contents.items()}
    return hmac.new(
        _KEY, json.dumps([digests, said], sort_keys=True).encode(), "sha256"
    ).hexdigest()


def _with_profiles(original: Any) -> Any:
    """Serve ListSigningProfiles."""

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        if (method, path.rstrip("/")) != ("GET", "/signing-profiles"):
            return await original(method, path, headers, body, query)
        cancelled = actions._query_param(query, "includeCanceled") == "true"
        shown = [
            {k: p[k] for k in ("profileName", "profileVersion", "profileVersionArn", "arn",
                               "platformId", "status")}
            for p in signer._profiles.values()
            if cancelled or p["status"] == "Active"
        ]  # fmt: skip
        return responses.json_response({"profiles": shown})

    return handle


# Lambda


def _creating(create: Any) -> Any:
    def creating(data: Data) -> Response:
        arn = data.get("CodeSigningConfigArn")
        if arn and (refused := _unknown(arn) or _refused(data.get("Code", {}), arn)):
            return refused
        response: Response = create(data)
        if arn and response[0] < 300:  # noqa: PLR2004
            _of_functions[functions._func_arn(data["FunctionName"])] = arn
        return response

    return creating


def _updating(update: Any) -> Any:
    def updating(name: str, data: Data) -> Response:
        if (arn := _of_functions.get(functions._func_arn(name))) and (
            refused := _refused(data, arn)
        ):
            return refused
        response: Response = update(name, data)
        return response

    return updating


def _deleting(delete: Any) -> Any:
    def deleting(name: str, *rest: Any) -> Response:
        response: Response = delete(name, *rest)
        if name not in functions._functions:
            _of_functions.pop(functions._func_arn(name), None)
        return response

    return deleting


def _refused(code: Data, arn: str) -> Response | None:
    """Return why code is not deployed, None where nothing is against it."""
    problem, always = _problem(_given(code), _configs[arn])
    if not problem:
        return None
    if always:
        return _error("InvalidCodeSignatureException", problem)
    if _configs[arn]["CodeSigningPolicies"]["UntrustedArtifactOnDeployment"] != "Enforce":
        return None
    return _error("CodeVerificationFailedException", problem)


def _given(code: Data) -> bytes:
    if "ZipFile" in code:
        return base64.b64decode(code["ZipFile"])
    found = functions._fetch_code_from_s3(
        code.get("S3Bucket"), code.get("S3Key"), version_id=code.get("S3ObjectVersion")
    )
    return found or b""


def _problem(data: bytes, config: Data) -> tuple[str, bool]:
    """Return what is against a package, and whether that counts whatever the policy says."""
    try:
        contents = _contents(data)
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            signature = json.loads(package.read(SIGNATURE))
    except (zipfile.BadZipFile, KeyError, ValueError):
        return "Lambda cannot deploy the function: the code is not signed", False
    said = {key: signature.get(key) for key in ("profile", "expires")}
    if not hmac.compare_digest(_mac(contents, said), str(signature.get("mac"))):
        return "The code signature failed the integrity check", True
    if said["profile"] not in config["AllowedPublishers"]["SigningProfileVersionArns"]:
        return "Lambda cannot deploy the function: it is signed by nobody who is allowed", False
    if said["expires"] < time.time():
        return "Lambda cannot deploy the function: the signature has expired", False
    return "", False


def _with_configs(original: Any) -> Any:
    """Serve configurations, and which one a function has."""

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        parts = [part for part in unquote(path).split("/") if part]
        data = json.loads(body or b"{}") if _CONFIGS in parts or _OF_FUNCTION in parts else {}
        if parts[1:2] == [_CONFIGS]:
            return _config_operation(method, parts[2:], data)
        if parts[-1:] == [_OF_FUNCTION]:
            return _function_operation(method, parts[-2].rpartition(":function:")[2], data)
        return await original(method, path, headers, body, query)

    return handle


def _config_operation(method: str, rest: list[str], data: Data) -> Response:
    if not rest:
        return _made(data) if method == "POST" else _all()
    arn = rest[0]
    if refused := _unknown(arn):
        return refused
    if method == "PUT":
        _configs[arn] |= {k: v for k, v in data.items() if k in _configs[arn]}
    elif method == "DELETE":
        if arn in _of_functions.values():
            return _error("ResourceConflictException", f"A function uses {arn}", 409)
        del _configs[arn]
        return 204, {}, b""
    answer: Response = responses.json_response({"CodeSigningConfig": _configs[arn]})
    return answer


def _made(data: Data) -> Response:
    publishers = (data.get("AllowedPublishers") or {}).get("SigningProfileVersionArns") or []
    if not 1 <= len(publishers) <= 20:  # noqa: PLR2004 (the model's)
        return _error("InvalidParameterValueException", "1 to 20 publishers are allowed")
    identity = f"csc-{secrets.token_hex(9)[:17]}"
    arn = f"arn:aws:lambda:{_scope()}:{_OF_FUNCTION}:{identity}"
    _configs[arn] = {
        "CodeSigningConfigId": identity,
        "CodeSigningConfigArn": arn,
        "Description": data.get("Description", ""),
        "AllowedPublishers": data["AllowedPublishers"],
        "CodeSigningPolicies": {
            "UntrustedArtifactOnDeployment": "Warn", **(data.get("CodeSigningPolicies") or {}),
        },
        "LastModified": time.strftime("%Y-%m-%dT%H:%M:%S.000+0000", time.gmtime()),
    }  # fmt: skip
    answer: Response = responses.json_response({"CodeSigningConfig": _configs[arn]}, 201)
    return answer


def _all() -> Response:
    here = [config for arn, config in _configs.items() if f":{_scope()}:" in arn]
    answer: Response = responses.json_response({"CodeSigningConfigs": here})
    return answer


def _scope() -> str:
    return f"{responses.get_region()}:{responses.get_account_id()}"


def _function_operation(method: str, name: str, data: Data) -> Response:
    if name not in functions._functions:
        return _error("ResourceNotFoundException", f"Function not found: {name}", 404)
    if method == "DELETE":
        _of_functions.pop(functions._func_arn(name), None)
        return 204, {}, b""
    if method == "PUT":
        if refused := _unknown(data["CodeSigningConfigArn"]):
            return refused
        _of_functions[functions._func_arn(name)] = data["CodeSigningConfigArn"]
    answer: Response = responses.json_response(
        {"FunctionName": name, "CodeSigningConfigArn": _of_functions.get(functions._func_arn(name))}
    )
    return answer


def _unknown(arn: str) -> Response | None:
    if arn in _configs:
        return None
    return _error("CodeSigningConfigNotFoundException", f"There is no {arn}", 404)


def _error(code: str, said: str, status: int = 400) -> Response:
    refusal: Response = responses.error_response_json(code, said, status)
    return refusal


# What IAM is asked


def _naming_actions(original: Any) -> Any:
    verbs = {"GET": "Get", "PUT": "Update", "DELETE": "Delete"}

    def action(method: str, path: str) -> str | None:
        parts = [part for part in path.split("/") if part]
        if parts[1:2] == [_CONFIGS]:
            whole = {"POST": "CreateCodeSigningConfig", "GET": "ListCodeSigningConfigs"}
            return whole.get(method) if not parts[2:] else f"{verbs[method]}CodeSigningConfig"
        if parts[-1:] == [_OF_FUNCTION]:
            verb = "Put" if method == "PUT" else verbs[method]
            return f"{verb}FunctionCodeSigningConfig"
        found: str | None = original(method, path)
        return found

    return action


def _named(request: Request, arn: str) -> str:
    """Name the configuration of a request, which ministack takes for one about everything."""
    path = unquote(request.path)
    if request.service == "lambda" and f"/{_CONFIGS}/" in path:
        return path.partition(f"/{_CONFIGS}/")[2].partition("/")[0]
    return arn


def _with_config(original: Any) -> Any:
    """Provide lambda:CodeSigningConfigArn, where a request names one."""

    def context(service: str, action: str, body: Any, parameters: Any) -> Data:
        found: Data = dict(original(service, action, body, parameters))
        if service == "lambda" and (arn := actions._safe_json_field(body, "CodeSigningConfigArn")):
            found["lambda:CodeSigningConfigArn"] = arn
        return found

    return context


def _objects(service: str, action: str, body: Any, _parameters: Any) -> list[tuple[str, str]]:
    """Return what is done with objects of S3 in the name of who asks: actions and ARNs."""
    if action == "signer:StartSigningJob":
        return list(_of_job(json.loads(body or b"{}")))
    if service == "lambda" and action in {"lambda:CreateFunction", "lambda:UpdateFunctionCode"}:
        data = json.loads(body or b"{}")
        code = data.get("Code", data)
        if "S3Bucket" in code:
            verb = "s3:GetObjectVersion" if "S3ObjectVersion" in code else "s3:GetObject"
            return [(verb, f"arn:aws:s3:::{code['S3Bucket']}/{code['S3Key']}")]
    return []


def _of_job(job: Data) -> Iterator[tuple[str, str]]:
    source, to = job["source"]["s3"], job["destination"]["s3"]
    yield "s3:GetObjectVersion", f"arn:aws:s3:::{source['bucketName']}/{source['key']}"
    yield "s3:PutObject", f"arn:aws:s3:::{to['bucketName']}/{to.get('prefix', '')}*"
    yield "s3:ListBucket", f"arn:aws:s3:::{to['bucketName']}"


def _with_objects(ask: Ask, question: Question, objects: list[tuple[str, str]] | None) -> Any:
    denied = ask(question)
    for action, arn in objects or ():
        about = question._replace(action=action, service="s3", arn=arn, context={})
        denied = denied or ask(about)
    return denied
