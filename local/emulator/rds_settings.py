"""Make ministack's RDS keep and tell what it drops of clusters and instances."""

# ruff: noqa: SLF001 (patching private names is this module's purpose)

import functools
import re
from collections.abc import Callable
from typing import Any

from local.emulator.patches import Wrapper, module, wrap

rds = module("ministack.services.rds")

Response = tuple[int, dict[str, str], bytes]
Record = dict[str, Any]
Action = Callable[[dict[str, Any]], Response]

CLUSTER, INSTANCE = "Cluster", "Instance"
AURORA, POSTGRES = "aurora-postgresql", "postgres"
_INSIGHTS = "PerformanceInsights"
_PENDING = "PendingModifiedValues"
_LOGS = "EnabledCloudwatchLogsExports"
_FIRST_TO_PAUSE = {13: 15, 14: 12, 15: 7, 16: 3, 17: 4}


def patch() -> None:
    """Replace how both are made, changed and described, and which versions are offered."""
    for noun in (CLUSTER, INSTANCE):
        for verb in ("Create", "Modify"):
            wrap_action(f"{verb}DB{noun}", functools.partial(_keeping, noun))
    wrap_action("DeleteDBCluster", _leaving_a_snapshot)
    wrap_action("DescribeDBEngineVersions", _offering)
    wrap(rds, "_cluster_xml", _telling)
    wrap(rds, "_instance_xml", _telling)
    wrap(rds, "_serverlessv2_from_params", _with_pause)
    wrap(rds, "_serverlessv2_xml", _telling_the_pause)


def wrap_action(name: str, wrapper: Wrapper) -> None:
    """Wrap one of RDS's actions."""
    wrap(rds, "_ACTION_MAP", wrapper, entry=name)


def find(noun: str, parameters: dict[str, Any]) -> Record | None:
    """Return the cluster or instance a request is about."""
    identifier = rds._p(parameters, f"DB{noun}Identifier")
    resolve = rds._resolve_cluster_in_request_region if noun == CLUSTER else rds._resolve_instance
    record: Record | None = resolve(identifier)
    return record


def succeeded(response: Response) -> bool:
    """Tell whether an action did what it was asked for."""
    return response[0] == 200  # noqa: PLR2004 (HTTP's success)


def offered(engine: str) -> list[str]:
    """Return the versions of an engine; plain PostgreSQL has Aurora's, without special editions."""
    versions = [version for version, _ in rds.AURORA_POSTGRESQL_ENGINE_VERSIONS]
    return versions if engine == AURORA else [v for v in versions if "-" not in v]


def _keeping(noun: str, original: Action) -> Action:
    def action(parameters: dict[str, Any]) -> Response:
        response = original(parameters)
        record = find(noun, parameters)
        if succeeded(response) and record is not None:
            _keep_logs(record, parameters)
            _keep_insights(record, parameters)
            for member in record.get("DBClusterMembers", []):
                _keep_insights(rds._instances[member["DBInstanceIdentifier"]], parameters)
        return response

    return action


def _keep_logs(record: Record, parameters: dict[str, Any]) -> None:
    member = "CloudwatchLogsExportConfiguration."
    asked = rds._parse_member_list(parameters, "EnableCloudwatchLogsExports")
    enabled = rds._parse_member_list(parameters, f"{member}EnableLogTypes")
    disabled = rds._parse_member_list(parameters, f"{member}DisableLogTypes")
    record[_LOGS] = sorted({*record.get(_LOGS, []), *asked, *enabled} - {*disabled})


def _keep_insights(record: Record, parameters: dict[str, Any]) -> None:
    for name in (f"{_INSIGHTS}KMSKeyId", f"{_INSIGHTS}RetentionPeriod", "DatabaseInsightsMode"):
        if value := rds._p(parameters, name):
            record[name] = value
    if asked := rds._p(parameters, f"Enable{_INSIGHTS}"):
        record[f"{_INSIGHTS}Enabled"] = asked == "true"


def _telling(original: Callable[[Record], str]) -> Callable[[Record], str]:
    def described(record: Record) -> str:
        text = re.sub(rf"<({_INSIGHTS}\w+|{_LOGS})(/>|>.*?</\1>)", "", str(original(record)))
        logs = "".join(f"<member>{name}</member>" for name in record.get(_LOGS, []))
        enabled = record.get(f"{_INSIGHTS}Enabled", False)
        told = {_LOGS: logs, f"{_INSIGHTS}Enabled": str(enabled).lower()}
        told["DatabaseInsightsMode"] = record.get("DatabaseInsightsMode", "standard")
        if enabled:
            for name in (f"{_INSIGHTS}KMSKeyId", f"{_INSIGHTS}RetentionPeriod"):
                told[name] = record.get(name, "")
        if (secret := record.get("MasterUserSecret")) and "<MasterUserSecret>" not in text:
            told["MasterUserSecret"] = "".join(f"<{k}>{v}</{k}>" for k, v in secret.items())
        if (pending := record.get(_PENDING)) and f"<{_PENDING}>" not in text:
            told[_PENDING] = "".join(f"<{k}>{v}</{k}>" for k, v in pending.items())
        return text + "".join(f"<{name}>{value}</{name}>" for name, value in told.items())

    return described


def _leaving_a_snapshot(original: Action) -> Action:
    """Make the last snapshot that a deletion asks for; of instances ministack makes it."""

    def delete(parameters: dict[str, Any]) -> Response:
        cluster = find(CLUSTER, parameters)
        name = rds._p(parameters, "FinalDBSnapshotIdentifier")
        tags = list(rds._tags.get((cluster or {}).get("DBClusterArn"), []))
        response = original(parameters)
        if cluster and name and succeeded(response):
            snapshot = rds._create_cluster_snapshot_internal(name, cluster)
            snapshot["TagList"] = tags if cluster["CopyTagsToSnapshot"] else []
        return response

    return delete


def _offering(original: Action) -> Action:
    def describe(parameters: dict[str, Any]) -> Response:
        engine = rds._p(parameters, "Engine")
        if engine not in {AURORA, POSTGRES}:
            return original(parameters)
        asked = rds._p(parameters, "EngineVersion")
        members = "".join(
            f"<DBEngineVersion><Engine>{engine}</Engine><EngineVersion>{version}</EngineVersion>"
            f"<DBParameterGroupFamily>{engine}{version.split('.')[0]}</DBParameterGroupFamily>"
            f"<Status>available</Status>{_serverless(engine, version)}</DBEngineVersion>"
            for version in offered(engine)
            if asked in {"", version, version.split(".")[0]}
        )
        result = f"<DBEngineVersions>{members}</DBEngineVersions>"
        name = "DescribeDBEngineVersions"
        reply: Response = rds._xml(200, f"{name}Response", f"<{name}Result>{result}</{name}Result>")
        return reply

    return describe


def _serverless(engine: str, version: str) -> str:
    if engine != AURORA:
        return ""
    major, minor = map(int, version.partition("-")[0].split(".")[:2])
    pauses = minor >= _FIRST_TO_PAUSE.get(major, 0 if major > max(_FIRST_TO_PAUSE) else 99)
    least, most = ("0", "256") if pauses else ("0.5", "128")
    return (
        f"<ServerlessV2FeaturesSupport><MinCapacity>{least}</MinCapacity>"
        f"<MaxCapacity>{most}</MaxCapacity></ServerlessV2FeaturesSupport>"
    )


def _with_pause(read: Any) -> Any:
    """Keep SecondsUntilAutoPause, without which a cluster that may pause is changed for ever."""

    def scaling(parameters: dict[str, Any]) -> dict[str, Any] | None:
        found: dict[str, Any] | None = read(parameters)
        seconds = rds._p(parameters, "ServerlessV2ScalingConfiguration.SecondsUntilAutoPause")
        return {**found, "SecondsUntilAutoPause": int(seconds)} if found and seconds else found

    return scaling


def _telling_the_pause(write: Any) -> Any:
    end = "</ServerlessV2ScalingConfiguration>"

    def described(cluster: Record) -> str:
        text = str(write(cluster))
        seconds = (cluster.get("ServerlessV2ScalingConfiguration") or {}).get(
            "SecondsUntilAutoPause"
        )
        tag = f"<SecondsUntilAutoPause>{seconds}</SecondsUntilAutoPause>"
        return text.replace(end, tag + end) if seconds else text

    return described
