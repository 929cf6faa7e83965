"""Make ministack's RDS keep a real PostgreSQL behind each Aurora PostgreSQL cluster."""

# ruff: noqa: SLF001 (patching private names is this module's purpose)

import importlib
from collections.abc import Callable
from typing import Any

from local.emulator.database import Databases
from local.errors import LocalError

# ministack has no type information.
rds: Any = importlib.import_module("ministack.services.rds")
secrets: Any = importlib.import_module("ministack.services.secretsmanager")
responses: Any = importlib.import_module("ministack.core.responses")

Response = tuple[int, dict[str, str], bytes]
Cluster = dict[str, Any]
Action = Callable[[dict[str, Any]], Response]

_ENGINE = "aurora-postgresql"
_HOST = "localhost"


def patch(databases: Databases) -> None:
    """Replace the actions that concern a cluster's server, its password and what it reports."""
    rds._get_docker = lambda: None
    actions = rds._ACTION_MAP
    actions["CreateDBCluster"] = _creating(actions["CreateDBCluster"], databases)
    actions["ModifyDBCluster"] = _modifying(actions["ModifyDBCluster"])
    actions["DeleteDBCluster"] = _deleting(actions["DeleteDBCluster"], databases)
    _patch_password(databases)
    _patch_managed_rotation()
    _patch_log_exports()
    _patch_auto_pause()


def _find(parameters: dict[str, Any]) -> Cluster | None:
    """Return the cluster a request is about, if it is one of ours."""
    cluster: Cluster | None = rds._resolve_cluster_in_request_region(
        rds._p(parameters, "DBClusterIdentifier")
    )
    return cluster if cluster and cluster["Engine"] == _ENGINE else None


def _name(cluster: Cluster) -> str:
    return f"{responses.get_account_id()}-{cluster['DBClusterIdentifier']}"


def _reply(action: str, cluster: Cluster) -> Response:
    """Describe the cluster as it is now, in the form this action answers in."""
    described = f"<DBCluster>{rds._cluster_xml(cluster)}</DBCluster>"
    reply: Response = rds._xml(
        200, f"{action}Response", f"<{action}Result>{described}</{action}Result>"
    )
    return reply


def _publish(cluster: Cluster, port: int) -> None:
    """Make cluster and instances report where the server really listens."""
    cluster["_shared_endpoint"] = {"Address": _HOST, "Port": port, "HostedZoneId": "Z2R2ITUGPM61AM"}
    cluster["_shared_host_port"] = port
    cluster["Endpoint"] = cluster["ReaderEndpoint"] = _HOST
    cluster["Port"] = port


def _creating(original: Action, databases: Databases) -> Action:
    def create(parameters: dict[str, Any]) -> Response:
        response = original(parameters)
        cluster = _find(parameters)
        if response[0] != 200 or cluster is None:  # noqa: PLR2004 (HTTP's success)
            return response
        cluster["EnabledCloudwatchLogsExports"] = rds._parse_member_list(
            parameters, "EnableCloudwatchLogsExports"
        )
        try:
            port = databases.ensure(
                _name(cluster),
                user=cluster["MasterUsername"],
                password=cluster["_MasterUserPassword"],
                database=cluster["DatabaseName"],
            )
        except LocalError as error:
            cluster["DeletionProtection"] = False
            rds._delete_db_cluster(parameters)
            refusal: Response = rds._error("InternalFailure", str(error), 400)
            return refusal
        _publish(cluster, port)
        _complete_secret(cluster)
        return _reply("CreateDBCluster", cluster)

    return create


def _complete_secret(cluster: Cluster) -> None:
    """Tag a managed secret and rotate it every week, as RDS does unless told otherwise."""
    if managed := cluster.get("MasterUserSecret"):
        _, secret = secrets._resolve(managed["SecretArn"])
        secret |= {"RotationEnabled": True, "RotationRules": {"AutomaticallyAfterDays": 7}}
        secret["Tags"] = [
            {"Key": "aws:secretsmanager:owningService", "Value": "rds"},
            {"Key": "aws:rds:primaryDBClusterArn", "Value": cluster["DBClusterArn"]},
        ]


def _modifying(original: Action) -> Action:
    def modify(parameters: dict[str, Any]) -> Response:
        response = original(parameters)
        cluster = _find(parameters)
        if response[0] != 200 or cluster is None:  # noqa: PLR2004
            return response
        _publish(cluster, cluster["_shared_host_port"])
        member = "CloudwatchLogsExportConfiguration."
        enabled = rds._parse_member_list(parameters, f"{member}EnableLogTypes")
        disabled = rds._parse_member_list(parameters, f"{member}DisableLogTypes")
        exports = {*cluster["EnabledCloudwatchLogsExports"], *enabled} - {*disabled}
        cluster["EnabledCloudwatchLogsExports"] = sorted(exports)
        return _reply("ModifyDBCluster", cluster)

    return modify


def _deleting(original: Action, databases: Databases) -> Action:
    def delete(parameters: dict[str, Any]) -> Response:
        cluster = _find(parameters)
        if cluster is None:
            return original(parameters)
        endpoint = cluster.pop("_shared_endpoint", None)  # it would look for a container
        response = original(parameters)
        if response[0] == 200:  # noqa: PLR2004
            databases.remove(_name(cluster))
        else:
            cluster["_shared_endpoint"] = endpoint
        return response

    return delete


def _patch_password(databases: Databases) -> None:
    original = rds._apply_cluster_master_password_change

    def change(cluster: Cluster, password: str) -> None:
        original(cluster, password)
        if cluster["Engine"] == _ENGINE:
            databases.set_password(
                _name(cluster), user=cluster["MasterUsername"], password=password
            )

    rds._apply_cluster_master_password_change = change


def _patch_managed_rotation() -> None:
    """Make RotateSecret of a secret that RDS manages what it is on AWS: a new master password."""
    original = secrets._rotate_secret

    def rotate(data: dict[str, Any]) -> Response:
        _, secret = secrets._resolve(data.get("SecretId"))
        arn = secret["ARN"] if secret else None
        for cluster in rds._clusters.values():
            if arn and (cluster.get("MasterUserSecret") or {}).get("SecretArn") == arn:
                if rules := data.get("RotationRules"):
                    secret |= {"RotationEnabled": True, "RotationRules": rules}
                if data.get("RotateImmediately", True):
                    rds._modify_db_cluster(
                        {
                            "DBClusterIdentifier": cluster["DBClusterIdentifier"],
                            "RotateMasterUserPassword": "true",
                            "ApplyImmediately": "true",
                        }
                    )
                version, _ = secrets._find_stage_version(secret, "AWSCURRENT")
                reply: Response = responses.json_response(
                    {"ARN": arn, "Name": secret["Name"], "VersionId": version}
                )
                return reply
        untouched: Response = original(data)
        return untouched

    secrets._rotate_secret = rotate


def _patch_log_exports() -> None:
    original = rds._cluster_xml

    def described(cluster: Cluster) -> str:
        exports = cluster.get("EnabledCloudwatchLogsExports", [])
        members = "".join(f"<member>{name}</member>" for name in exports)
        tag = f"<EnabledCloudwatchLogsExports>{members}</EnabledCloudwatchLogsExports>"
        return tag + str(original(cluster))

    rds._cluster_xml = described


def _patch_auto_pause() -> None:
    """Keep SecondsUntilAutoPause, without which a cluster that may pause is changed for ever."""
    read, write = rds._serverlessv2_from_params, rds._serverlessv2_xml
    end = "</ServerlessV2ScalingConfiguration>"

    def scaling(parameters: dict[str, Any]) -> dict[str, Any] | None:
        found: dict[str, Any] | None = read(parameters)
        seconds = rds._p(parameters, "ServerlessV2ScalingConfiguration.SecondsUntilAutoPause")
        return {**found, "SecondsUntilAutoPause": int(seconds)} if found and seconds else found

    def described(cluster: Cluster) -> str:
        text = str(write(cluster))
        seconds = (cluster.get("ServerlessV2ScalingConfiguration") or {}).get(
            "SecondsUntilAutoPause"
        )
        tag = f"<SecondsUntilAutoPause>{seconds}</SecondsUntilAutoPause>"
        return text.replace(end, tag + end) if seconds else text

    rds._serverlessv2_from_params, rds._serverlessv2_xml = scaling, described
