"""Make ministack's RDS restore databases: each has a PostgreSQL of its own, with all the data.

What is refused, and what a restored database has of its source, is in the RDS API Reference under
RestoreDBClusterToPointInTime and RestoreDBInstanceToPointInTime, and in the Aurora User Guide under
"Cloning a volume" (limitations). An instance is restored as it is at that moment, not as it was up
to five minutes before.
"""

# ruff: noqa: SLF001 (patching private names is this module's purpose)

import functools
import json
import re
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

from local.emulator.database import Databases
from local.emulator.patches import add, module
from local.emulator.rds import complete_secret
from local.emulator.rds_settings import (
    CLUSTER,
    INSTANCE,
    Action,
    Record,
    Response,
    find,
    rds,
    succeeded,
    wrap_action,
)

ec2 = module("ministack.services.ec2")
responses = module("ministack.core.responses")
secrets = module("ministack.services.secretsmanager")

_MOST_CLONES = 15
_IDENTIFIER = re.compile(r"(?!.*--)[A-Za-z][A-Za-z0-9-]{0,62}(?<!-)").fullmatch
# Of a request to restore, what the request to create knows too.
_SAME = re.compile(
    r"DBSubnetGroupName|DB(Cluster)?ParameterGroupName|VpcSecurityGroupIds\..*|Tags\..*|"
    r"DeletionProtection|EnableIAMDatabaseAuthentication|ServerlessV2ScalingConfiguration\..*|"
    r"DBInstanceClass|MultiAZ|PubliclyAccessible|ManageMasterUserPassword|MasterUserSecretKmsKeyId"
).fullmatch


class _Refused(NamedTuple):
    code: str
    text: str


def patch(databases: Databases) -> None:
    """Add the actions that restore, and let RDS take over the password of what was restored."""
    for noun in (CLUSTER, INSTANCE):
        restore = functools.partial(_restore, noun, databases)
        add(rds, "_ACTION_MAP", f"RestoreDB{noun}ToPointInTime", restore)
    wrap_action("ModifyDBCluster", functools.partial(_taking_over_the_password, databases))


def _restore(noun: str, databases: Databases, parameters: dict[str, Any]) -> Response:
    target = f"{'Target' if noun == INSTANCE else ''}DB{noun}Identifier"
    source = find(noun, {f"DB{noun}Identifier": [rds._p(parameters, f"SourceDB{noun}Identifier")]})
    name = rds._p(parameters, target)
    if refused := next(_problems(noun, parameters, source, name), None):
        refusal: Response = rds._error(refused.code, refused.text, 400)
        return refusal
    assert source
    account = responses.get_account_id()
    databases.copy(f"{account}-{source[f'DB{noun}Identifier']}", f"{account}-{name}")
    given = {key: value for key, value in parameters.items() if _SAME(key)}
    response: Response = rds._ACTION_MAP[f"CreateDB{noun}"](
        {**_as_source(noun, source), **given, f"DB{noun}Identifier": [name]}
    )
    if not succeeded(response):
        databases.remove(f"{account}-{name}")
        return response
    action, made = f"RestoreDB{noun}ToPointInTime", response[2]
    if noun == CLUSTER:
        rds._clusters[name]["CloneGroupId"] = _group(source)
    return response[0], response[1], made.replace(f"CreateDB{noun}".encode(), action.encode())


def _as_source(noun: str, source: Record) -> dict[str, Any]:
    """Return the request that creates what a restored database has of its source."""
    same: dict[str, Any] = {
        "Engine": source["Engine"],
        "EngineVersion": source["EngineVersion"],
        "MasterUsername": source["MasterUsername"],
        "MasterUserPassword": source["_MasterUserPassword"],
        "StorageEncrypted": str(source["StorageEncrypted"]).lower(),
        "KmsKeyId": source.get("KmsKeyId") or "",
        "DatabaseName" if noun == CLUSTER else "DBName": source[
            "DatabaseName" if noun == CLUSTER else "DBName"
        ],
    }
    if noun == INSTANCE:
        same |= {"DBInstanceClass": source["DBInstanceClass"]}
        same |= {"AllocatedStorage": str(source["AllocatedStorage"])}
    return {key: [value] for key, value in same.items() if value}


def _problems(
    noun: str, parameters: dict[str, Any], source: Record | None, name: str
) -> Iterator[_Refused]:
    if source is None:
        code = "DBClusterNotFoundFault" if noun == CLUSTER else "DBInstanceNotFound"
        yield _Refused(code, f"DB{noun} {rds._p(parameters, f'SourceDB{noun}Identifier')} is none.")
        return
    if not _IDENTIFIER(name):
        text = f"The parameter DB{noun}Identifier is not a valid identifier."
        yield _Refused("InvalidParameterValue", text)
    if name in (rds._clusters if noun == CLUSTER else rds._instances):
        code = "DBClusterAlreadyExistsFault" if noun == CLUSTER else "DBInstanceAlreadyExists"
        yield _Refused(code, f"{name} already exists.")
    latest, time = (rds._p(parameters, n) for n in ("UseLatestRestorableTime", _TIME[noun]))
    if (latest == "true") == bool(time):
        text = f"Either {_TIME[noun]} or UseLatestRestorableTime must be specified."
        yield _Refused("InvalidParameterCombination", text)
    yield from _problems_of_the_network(parameters)
    if noun == CLUSTER:
        yield from _problems_of_a_clone(parameters, source)
    elif not source["BackupRetentionPeriod"]:
        yield _Refused("PointInTimeRestoreNotEnabled", "The source has no automated backups.")


_TIME = {CLUSTER: "RestoreToTime", INSTANCE: "RestoreTime"}


def _problems_of_the_network(parameters: dict[str, Any]) -> Iterator[_Refused]:
    subnets = rds._p(parameters, "DBSubnetGroupName")
    if subnets and subnets not in rds._subnet_groups:
        yield _Refused("DBSubnetGroupNotFoundFault", f"DB subnet group '{subnets}' does not exist.")
    for group in rds._parse_member_list(parameters, "VpcSecurityGroupIds"):
        if group not in ec2._security_groups:
            text = f"Invalid security group , groupId= {group}, groupName=."
            yield _Refused("InvalidParameterValue", text)


def _problems_of_a_clone(parameters: dict[str, Any], source: Record) -> Iterator[_Refused]:
    kind = rds._p(parameters, "RestoreType") or "full-copy"
    if kind not in {"full-copy", "copy-on-write"}:
        yield _Refused("InvalidParameterValue", f"Invalid restore type: {kind}.")
    if not source["DBClusterMembers"]:
        text = f"{source['DBClusterIdentifier']} has no DB instances, and cannot be cloned."
        yield _Refused("InvalidDBClusterStateFault", text)
    group = _group(source)
    clones = [one for one in rds._clusters.values() if one.get("CloneGroupId") == group]
    if kind == "copy-on-write" and len(clones) >= _MOST_CLONES:
        text = f"The limit of {_MOST_CLONES} copy-on-write clones is reached."
        yield _Refused("InvalidDBClusterStateFault", text)


def _group(source: Record) -> str:
    """Return what a cluster, its clones and their clones have in common."""
    return str(source.get("CloneGroupId") or source["DbClusterResourceId"])


def _taking_over_the_password(databases: Databases, original: Action) -> Action:
    """Let ManageMasterUserPassword make a secret for a cluster that has none."""

    def modify(parameters: dict[str, Any]) -> Response:
        cluster = find(CLUSTER, parameters)
        wanted = rds._p(parameters, "ManageMasterUserPassword") == "true"
        if wanted and cluster and not cluster.get("MasterUserSecret"):
            _take_over(databases, cluster, rds._p(parameters, "MasterUserSecretKmsKeyId"))
        return original(parameters)

    return modify


def _take_over(databases: Databases, cluster: Record, key: str) -> None:
    user, password = cluster["MasterUsername"], rds._generate_master_user_password()
    arn = secrets.create_secret_in_process(
        f"rds!cluster-{uuid.uuid4()}", json.dumps({"username": user, "password": password})
    )
    cluster["MasterUserSecret"] = {"SecretArn": arn, "SecretStatus": "active", "KmsKeyId": key}
    complete_secret(cluster)
    name = f"{responses.get_account_id()}-{cluster['DBClusterIdentifier']}"
    databases.set_password(name, user=user, password=password)
