"""The texts that AWS refuses although its API models let them pass, by what AWS documents.

One row a rule, with its source. The emulator refuses by it, and the tests hold every request of
every playbook against it.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from local.emulator.patches import module, wrap

actions = module("ministack.core.iam_actions")
app = module("ministack.app")

_GENERAL_TAGS = "General Reference, Tagging AWS resources, tag naming limits"
_TAG_TEXT = r"[\w\s.:/=+\-@]"
_GROUP_TEXT = r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]"
_RDS_NAME = r"(?!.*--)[a-zA-Z][a-zA-Z0-9-]{0,%d}(?<!-)"
_DAY = "(mon|tue|wed|thu|fri|sat|sun)"
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]"


@dataclasses.dataclass(frozen=True)
class Rule:
    """What AWS takes as one kind of text.

    Attributes:
        services: a pattern of the services, by their names in IAM.
        operations: a pattern of the operations.
        field: a pattern of the parameter, from its top on with dots; without the numbers of lists.
        text: a pattern of all that AWS takes.
        said: what AWS takes, in words.
        source: where AWS says so; `model` is the documentation in the API's own model.

    """

    services: str
    operations: str
    field: str
    text: str
    said: str
    source: str

    def covers(self, service: str, operation: str) -> bool:
        """Whether the rule is about an operation."""
        return bool(
            re.fullmatch(self.services, service) and re.fullmatch(self.operations, operation)
        )

    def refuses(self, field: str, text: str) -> bool:
        """Whether AWS would refuse this text in this parameter."""
        flags = re.DOTALL
        return bool(
            re.fullmatch(self.field, field) and not re.fullmatch(self.text, text, flags=flags)
        )


RULES = (
    Rule(
        r"ec2",
        r"(?!Delete|Describe).*",
        r"(.*\.)?Tags?\.Key",
        r"(?![aA][wW][sS]:).{1,127}",
        "1 to 127 characters, and not aws: first",
        "model: ec2 Tag.Key",
    ),
    Rule(
        r"ec2",
        r"(?!Delete|Describe).*",
        r"(.*\.)?Tags?\.Value",
        r".{0,256}",
        "up to 256 characters",
        "model: ec2 Tag.Value",
    ),
    # EC2 takes any character in a tag; the others do not, and our tags go to all of them.
    Rule(
        r"(?!ec2$).*",
        r"(?!Untag|List|Describe|Get).*",
        r"(.*\.)?[Tt]ags?\.(Tag\.)?(Tag)?[Kk]ey",
        rf"(?![aA][wW][sS]:){_TAG_TEXT}{{1,128}}",
        "1 to 128 letters, digits, spaces and _.:/=+-@, and not aws: first",
        _GENERAL_TAGS,
    ),
    Rule(
        r"(?!ec2$).*",
        r"(?!Untag|List|Describe|Get).*",
        r"(.*\.)?[Tt]ags?\.(Tag\.)?(Tag)?[Vv]alue",
        rf"{_TAG_TEXT}{{0,256}}",
        "up to 256 letters, digits, spaces and _.:/=+-@",
        _GENERAL_TAGS,
    ),
    Rule(
        r"rds",
        r".*",
        r"(.*\.)?[Tt]ags?\.(Tag\.)?([Kk]ey|[Vv]alue)",
        r"(?!(aws|rds):).*",
        "neither aws: nor rds: first",
        "model: rds Tag.Key, Tag.Value",
    ),
    Rule(
        r"ec2",
        r"CreateSecurityGroup",
        r"GroupName",
        rf"(?!sg-){_GROUP_TEXT}{{1,255}}",
        "1 to 255 of a-z, A-Z, 0-9, spaces and ._-:/()#,@[]+=&;{}!$*, and not sg- first",
        "model: ec2 CreateSecurityGroupRequest.GroupName",
    ),
    Rule(
        r"ec2",
        r"CreateSecurityGroup",
        r"(Group)?Description",
        rf"{_GROUP_TEXT}{{1,255}}",
        "1 to 255 of a-z, A-Z, 0-9, spaces and ._-:/()#,@[]+=&;{}!$*",
        "model: ec2 CreateSecurityGroupRequest.Description",
    ),
    Rule(
        r"ec2",
        r"(Authorize|Revoke)SecurityGroup(In|E)gress",
        r"IpPermissions\..*\.Description",
        rf"{_GROUP_TEXT}{{0,255}}",
        "up to 255 of a-z, A-Z, 0-9, spaces and ._-:/()#,@[]+=;{}!$*",
        "model: ec2 IpRange.Description, UserIdGroupPair.Description, PrefixListId.Description",
    ),
    Rule(
        r"ec2",
        r"RunInstances",
        r"ClientToken",
        r"[\x00-\x7f]{0,64}",
        "up to 64 ASCII characters",
        "model: ec2 RunInstancesRequest.ClientToken",
    ),
    Rule(
        r"rds",
        r"(Create|Modify)DB(Cluster|Instance)",
        r"(New)?DB(Cluster|Instance)Identifier",
        _RDS_NAME % 62,
        "1 to 63 letters, digits and single hyphens, a letter first, no hyphen last",
        "model: rds CreateDBClusterMessage.DBClusterIdentifier, CreateDBInstanceMessage",
    ),
    Rule(
        r"rds",
        r"DeleteDB(Cluster|Instance)",
        r"FinalDBSnapshotIdentifier",
        _RDS_NAME % 254,
        "1 to 255 letters, digits and single hyphens, a letter first, no hyphen last",
        "model: rds DeleteDBClusterMessage.FinalDBSnapshotIdentifier",
    ),
    Rule(
        r"rds",
        r"CreateDB(Cluster)?ParameterGroup",
        r"DB(Cluster)?ParameterGroupName",
        _RDS_NAME % 254,
        "1 to 255 letters, digits and single hyphens, a letter first, no hyphen last",
        "model: rds CreateDBParameterGroupMessage.DBParameterGroupName",
    ),
    Rule(
        r"rds",
        r"CreateDBSubnetGroup",
        r"DBSubnetGroupName",
        r"(?!default$)[a-zA-Z][a-zA-Z0-9._ -]{0,254}",
        "up to 255 letters, digits, periods, underscores, spaces and hyphens, a letter first",
        "model: rds CreateDBSubnetGroupMessage.DBSubnetGroupName",
    ),
    Rule(
        r"rds",
        r"CreateDBCluster",
        r"MasterUsername",
        r"[a-zA-Z][a-zA-Z0-9]{0,15}",
        "1 to 16 letters and digits, a letter first",
        "model: rds CreateDBClusterMessage.MasterUsername",
    ),
    Rule(
        r"rds",
        r"CreateDBInstance",
        r"MasterUsername",
        r"[a-zA-Z][a-zA-Z0-9_]{0,15}",
        "1 to 16 letters, digits and underscores, a letter first",
        "model: rds CreateDBInstanceMessage.MasterUsername",
    ),
    Rule(
        r"rds",
        r"CreateDBCluster",
        r"DatabaseName",
        r"[a-zA-Z][a-zA-Z0-9_]{0,62}",
        "1 to 63 letters, digits and underscores, a letter first",
        "model: rds CreateDBClusterMessage.DatabaseName, CreateDBInstanceMessage.DBName",
    ),
    Rule(
        r"rds",
        r"CreateDBInstance",
        r"DBName",
        r"[a-zA-Z][a-zA-Z0-9_]{0,62}",
        "1 to 63 letters, digits and underscores, a letter first",
        "model: rds CreateDBInstanceMessage.DBName",
    ),
    Rule(
        r"rds",
        r"(Create|Modify)DB(Cluster|Instance)",
        r"PreferredBackupWindow",
        rf"{_TIME}-{_TIME}",
        "hh24:mi-hh24:mi",
        "model: rds CreateDBClusterMessage.PreferredBackupWindow",
    ),
    Rule(
        r"rds",
        r"(Create|Modify)DB(Cluster|Instance)",
        r"PreferredMaintenanceWindow",
        rf"(?i:{_DAY}:{_TIME}-{_DAY}:{_TIME})",
        "ddd:hh24:mi-ddd:hh24:mi",
        "model: rds CreateDBClusterMessage.PreferredMaintenanceWindow",
    ),
    Rule(
        r"lambda",
        r"CreateFunction",
        r"FunctionName",
        r"[a-zA-Z0-9_-]{1,64}",
        "1 to 64 letters, digits, hyphens and underscores",
        "model: lambda CreateFunctionRequest.FunctionName",
    ),
    Rule(
        r"sns",
        r"CreateTopic",
        r"Name",
        r"[a-zA-Z0-9_-]{1,256}",
        "1 to 256 ASCII letters, digits, underscores and hyphens",
        "model: sns CreateTopicInput.Name",
    ),
    Rule(
        r"sns",
        r"CreateTopic|SetTopicAttributes",
        r"Attributes\.DisplayName",
        r"[^\x00-\x1f]{0,100}",
        "up to 100 characters, none of them a control character",
        "SNS Developer Guide, Creating an Amazon SNS topic",
    ),
    Rule(
        r"cloudwatch|monitoring",
        r"PutMetricAlarm",
        r"AlarmName",
        r"[^\x00-\x1f\x7f]{1,255}",
        "1 to 255 characters, none of them a control character",
        "model: cloudwatch PutMetricAlarmInput.AlarmName",
    ),
    Rule(
        r"cloudwatch|monitoring",
        r"PutMetricAlarm",
        r"(.*\.)?Dimensions\.(Name|Value)",
        r"(?!:)(?=.*[!-~])[ -~]+",
        "printable ASCII with something that is no space, no colon first",
        "model: cloudwatch Dimension.Name, Dimension.Value",
    ),
    Rule(
        r"kms",
        r"CreateAlias",
        r"AliasName",
        r"alias/(?!aws/)[a-zA-Z0-9/_-]+",
        "alias/ and letters, digits, slashes, underscores and hyphens, and not alias/aws/",
        "model: kms CreateAliasRequest.AliasName",
    ),
    Rule(
        r"iam",
        r"CreateRole|UpdateAssumeRolePolicy",
        r"AssumeRolePolicyDocument|PolicyDocument",
        r"(\s*\S){1,2048}\s*",
        "2,048 characters, without white space",
        "IAM and STS quotas, role trust policy length",
    ),
    Rule(
        r"iam",
        r"CreatePolicy(Version)?",
        r"PolicyDocument",
        r"(\s*\S){1,6144}\s*",
        "6,144 characters, without white space",
        "IAM and STS quotas, managed policy length",
    ),
    Rule(
        r"iam",
        r"PutRolePolicy",
        r"PolicyDocument",
        r"(\s*\S){1,10240}\s*",
        "10,240 characters, without white space",
        "IAM and STS quotas, aggregate inline policy length of a role",
    ),
    Rule(
        r"s3",
        r"CreateBucket",
        r"Bucket",
        r"(?!xn--|sthree-|amzn-s3-demo-)(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)"
        r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?<!-s3alias)(?<!--ol-s3)",
        "3 to 63 lower case letters, digits, periods and hyphens, a letter or digit at both ends",
        "S3 User Guide, General purpose bucket naming rules",
    ),
    Rule(
        r"codecommit",
        r"CreateRepository|UpdateRepositoryName",
        r"(repositoryName|newName)",
        r".*(?<!\.git)",
        "nothing that ends with .git",
        "model: codecommit CreateRepositoryInput.repositoryName",
    ),
)
# What a service calls an error of this kind; the others say ValidationException.
_CODES = {
    "ec2": "InvalidParameterValue",
    "rds": "InvalidParameterValue",
    "lambda": "InvalidParameterValueException",
    "iam": "ValidationError",
    "monitoring": "ValidationError",
    "sns": "InvalidParameter",
}


def refused(service: str, operation: str, params: Any) -> list[str]:
    """Return what AWS would say against the texts of a request.

    Args:
        service: its name in IAM, such as `ec2`.
        operation: its name, such as `CreateSecurityGroup`.
        params: the parameters, as a client of boto3 takes them, or as they come over the wire.

    """
    rules = [rule for rule in RULES if rule.covers(service, operation)]
    return [
        f"{field}: {text[:80]!r} is not {rule.said} ({rule.source})"
        for field, text in _fields(params)
        for rule in rules
        if rule.refuses(field, text)
    ]


def patch() -> None:
    """Refuse such texts before the service sees them."""
    wrap(app, "_dispatch_service_request", _refusing)


def _refusing(original: Any) -> Any:
    async def dispatch(  # noqa: PLR0917 (ministack's signature)
        method: str, path: str, headers: Any, body: bytes, query: Any, request: str
    ) -> Any:
        parameters = app._routing_params(method, path, headers, body, query)  # noqa: SLF001
        service = app.detect_service(method, path, headers, parameters)
        action = actions.extract_iam_action(service, method, path, headers, body, parameters) or ""
        wrong = refused(service, action.partition(":")[2], _sent(body, parameters))
        if not wrong:
            return await original(method, path, headers, body, query, request)
        said: tuple[int, Any, bytes] = actions.access_denied_response(
            *(service, action, "", request),
            error_code=_CODES.get(service, "ValidationException"),
            message="; ".join(wrong),
            headers=headers,
        )
        return 400, *said[1:]

    return dispatch


def _sent(body: bytes, parameters: dict[str, Any]) -> Any:
    """Return the parameters of a request, as far as they are JSON or a form."""
    if body[:1] == b"{":
        try:
            return json.loads(body)
        except ValueError:
            return {}
    return {name: actions._query_param(parameters, name) for name in parameters}  # noqa: SLF001


def _fields(params: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text with where it is; a map of tags like a list of them."""
    if isinstance(params, dict):
        for name, value in params.items():
            listed = _listed(value) if name in {"Tags", "tags"} else value
            yield from _fields(listed, _joined([path, *_words(name)]))
    elif isinstance(params, list):
        for one in params:
            yield from _fields(one, path)
    elif isinstance(params, str):
        yield path, params


def _listed(tags: Any) -> Any:
    """Return tags that come as a map as a list of pairs."""
    if not isinstance(tags, dict):
        return tags
    return [{"Key": name, "Value": value} for name, value in tags.items()]


def _words(name: str) -> Iterable[str]:
    """Return the parts of a form's name, without the numbers of its lists."""
    return (word for word in name.split(".") if not word.isdigit() and word != "member")


def _joined(words: Iterable[str]) -> str:
    return ".".join(word for word in words if word)
