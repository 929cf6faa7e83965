"""Make ministack's RDS keep a real PostgreSQL behind each Aurora cluster and each instance."""

# ruff: noqa: SLF001 (patching private names is this module's purpose)

import functools
import json
import uuid
from typing import Any

from local.emulator import rds_settings
from local.emulator.database import Databases
from local.emulator.patches import module, replace, wrap
from local.emulator.rds_settings import (
    AURORA,
    CLUSTER,
    INSTANCE,
    POSTGRES,
    Action,
    Record,
    Response,
    rds,
    succeeded,
    wrap_action,
)
from local.errors import LocalError

secrets = module("ministack.services.secretsmanager")
responses = module("ministack.core.responses")

_ENGINES = {CLUSTER: AURORA, INSTANCE: POSTGRES}
_HOST = "localhost"


def patch(databases: Databases) -> None:
    """Replace the actions that concern a server, its password and what is told of it."""
    replace(rds, "_get_docker", lambda: None)
    rds_settings.patch()
    wrap_action("CreateDBInstance", _managing_the_password)
    for noun in (CLUSTER, INSTANCE):
        creating = functools.partial(_creating, noun, databases)
        deleting = functools.partial(_deleting, noun, databases)
        wrap_action(f"CreateDB{noun}", creating)
        wrap_action(f"DeleteDB{noun}", deleting)
        wrap_action(f"ModifyDB{noun}", functools.partial(_modifying, noun))
    changing = functools.partial(_changing_the_password, databases)
    wrap(rds, "_apply_cluster_master_password_change", changing)
    wrap(secrets, "_rotate_secret", functools.partial(_rotating, databases))


def _find(noun: str, parameters: dict[str, Any]) -> Record | None:
    """Return the cluster or instance a request is about, if it has a server of its own."""
    record = rds_settings.find(noun, parameters)
    return record if record and record["Engine"] == _ENGINES[noun] else None


def _name(record: Record) -> str:
    identifier = record.get("DBInstanceIdentifier") or record["DBClusterIdentifier"]
    return f"{responses.get_account_id()}-{identifier}"


def _reply(action: str, record: Record) -> Response:
    """Describe the record as it is now, in the form this action answers in."""
    if "DBInstanceIdentifier" in record:
        names = (f"{action}Response", f"{action}Result")
        single: Response = rds._single_instance_response(*names, record)
        return single
    described = f"<DBCluster>{rds._cluster_xml(record)}</DBCluster>"
    reply: Response = rds._xml(
        200, f"{action}Response", f"<{action}Result>{described}</{action}Result>"
    )
    return reply


def _publish(record: Record, port: int) -> None:
    """Make the record, and a cluster's instances, report where the server really listens."""
    endpoint = {"Address": _HOST, "Port": port, "HostedZoneId": "Z2R2ITUGPM61AM"}
    record["_shared_host_port"] = port
    if "DBInstanceIdentifier" in record:
        record["Endpoint"] = endpoint
        return
    record["_shared_endpoint"] = endpoint
    record["Endpoint"] = record["ReaderEndpoint"] = _HOST
    record["Port"] = port


def _creating(noun: str, databases: Databases, original: Action) -> Action:
    def create(parameters: dict[str, Any]) -> Response:
        response = original(parameters)
        record = _find(noun, parameters)
        if not succeeded(response) or record is None:
            return response
        try:
            port = databases.ensure(
                _name(record),
                user=record["MasterUsername"],
                password=record["_MasterUserPassword"],
                database=rds._p(parameters, "DatabaseName") or rds._p(parameters, "DBName") or None,
            )
        except LocalError as error:
            record["DeletionProtection"] = False
            rds._delete_db_cluster(parameters)
            refusal: Response = rds._error("InternalFailure", str(error), 400)
            return refusal
        _publish(record, port)
        complete_secret(record)
        return _reply(f"CreateDB{noun}", record)

    return create


def _managing_the_password(original: Action) -> Action:
    """Refuse unknown versions, and keep the password of an instance in Secrets Manager."""

    def create(parameters: dict[str, Any]) -> Response:
        version = rds._p(parameters, "EngineVersion")
        alone = rds._p(parameters, "Engine") == POSTGRES
        if alone and version and version not in rds_settings.offered(POSTGRES):
            why = f"Cannot find version {version} for {POSTGRES}"
            refusal: Response = rds._error("InvalidParameterCombination", why, 400)
            return refusal
        if not alone or rds._p(parameters, "ManageMasterUserPassword") != "true":
            return original(parameters)
        password = rds._generate_master_user_password()
        response = original({**parameters, "MasterUserPassword": password})
        if succeeded(response) and (instance := _find(INSTANCE, parameters)):
            user = instance["MasterUsername"]
            instance["MasterUserSecret"] = {
                "SecretArn": secrets.create_secret_in_process(
                    f"rds!db-{uuid.uuid4()}",
                    json.dumps({"username": user, "password": password}),
                    description=f"Secret managed by RDS for {instance['DBInstanceIdentifier']}",
                ),
                "SecretStatus": "active",
                "KmsKeyId": rds._p(parameters, "MasterUserSecretKmsKeyId"),
            }
        return response

    return create


def complete_secret(record: Record) -> None:
    """Tag a managed secret and rotate it every week, as RDS does unless told otherwise."""
    if managed := record.get("MasterUserSecret"):
        noun = INSTANCE if "DBInstanceIdentifier" in record else CLUSTER
        _, secret = secrets._resolve(managed["SecretArn"])
        secret |= {"RotationEnabled": True, "RotationRules": {"AutomaticallyAfterDays": 7}}
        secret["Tags"] = [
            {"Key": "aws:secretsmanager:owningService", "Value": "rds"},
            {"Key": f"aws:rds:primaryDB{noun}Arn", "Value": record[f"DB{noun}Arn"]},
        ]


def _modifying(noun: str, original: Action) -> Action:
    def modify(parameters: dict[str, Any]) -> Response:
        waiting: Record = {}
        if noun == CLUSTER and (found := _find(noun, parameters)):
            parameters, waiting = _postponing(parameters, found)
        response = original(parameters)
        record = _find(noun, parameters)
        if not succeeded(response) or record is None:
            return response
        if noun == CLUSTER:
            record["PendingModifiedValues"] = waiting
        _publish(record, record["_shared_host_port"])
        return _reply(f"ModifyDB{noun}", record)

    return modify


def _postponing(parameters: dict[str, Any], cluster: Record) -> tuple[dict[str, Any], Record]:
    """Return the request without what waits for the maintenance window, and what waits.

    RDS API Reference, ModifyDBCluster: a new version waits unless ApplyImmediately is set, and then
    all that was waiting is changed too.
    """
    waiting = dict(cluster.get("PendingModifiedValues", {}))
    if version := rds._p(parameters, "EngineVersion"):
        waiting["EngineVersion"] = version
    rest = {name: value for name, value in parameters.items() if name != "EngineVersion"}
    if rds._p(parameters, "ApplyImmediately") == "true":
        return {**rest, **waiting}, {}
    return rest, waiting


def _deleting(noun: str, databases: Databases, original: Action) -> Action:
    def delete(parameters: dict[str, Any]) -> Response:
        record = _find(noun, parameters)
        if record is None:
            return original(parameters)
        endpoint = record.pop("_shared_endpoint", None)  # it would look for a container
        response = original(parameters)
        if not succeeded(response):
            record["_shared_endpoint"] = endpoint
            return response
        databases.remove(_name(record))
        if noun == INSTANCE and (managed := record.get("MasterUserSecret")):
            secrets.delete_secret_in_process(managed["SecretArn"])
        return response

    return delete


def _changing_the_password(databases: Databases, original: Any) -> Any:
    def change(cluster: Record, password: str) -> None:
        original(cluster, password)
        if cluster["Engine"] == AURORA:
            databases.set_password(
                _name(cluster), user=cluster["MasterUsername"], password=password
            )

    return change


def _rotating(databases: Databases, original: Action) -> Action:
    """Make RotateSecret of a secret that RDS manages what it is on AWS: a new master password."""

    def rotate(data: dict[str, Any]) -> Response:
        _, secret = secrets._resolve(data.get("SecretId"))
        arn = secret["ARN"] if secret else None
        for record in [*rds._clusters.values(), *rds._instances.values()]:
            if arn and (record.get("MasterUserSecret") or {}).get("SecretArn") == arn:
                if rules := data.get("RotationRules"):
                    secret |= {"RotationEnabled": True, "RotationRules": rules}
                if data.get("RotateImmediately", True):
                    _rotate(record, databases)
                version, _ = secrets._find_stage_version(secret, "AWSCURRENT")
                reply: Response = responses.json_response(
                    {"ARN": arn, "Name": secret["Name"], "VersionId": version}
                )
                return reply
        untouched: Response = original(data)
        return untouched

    return rotate


def _rotate(record: Record, databases: Databases) -> None:
    """Give a database a new master password, and put it into its secret."""
    if "DBInstanceIdentifier" not in record:
        cluster = {"DBClusterIdentifier": record["DBClusterIdentifier"]}
        now = {"RotateMasterUserPassword": "true", "ApplyImmediately": "true"}
        rds._modify_db_cluster(cluster | now)
        return
    user, password = record["MasterUsername"], rds._generate_master_user_password()
    text = json.dumps({"username": user, "password": password})
    secrets.put_secret_value_in_process(record["MasterUserSecret"]["SecretArn"], text)
    databases.set_password(_name(record), user=user, password=password)
