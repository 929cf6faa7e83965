"""What an account has, kind by kind."""

from typing import Any

from local.stack import Stack

# Service, operation, and where the answer has the list.
KINDS = (
    ("cloudwatch", "describe_alarms", "MetricAlarms"),
    ("codebuild", "list_projects", "projects"),
    ("codebuild", "list_report_groups", "reportGroups"),
    ("ec2", "describe_network_interfaces", "NetworkInterfaces"),
    ("ec2", "describe_route_tables", "RouteTables"),
    ("ec2", "describe_security_groups", "SecurityGroups"),
    ("ec2", "describe_subnets", "Subnets"),
    ("ec2", "describe_volumes", "Volumes"),
    ("ec2", "describe_vpc_endpoints", "VpcEndpoints"),
    ("ec2", "describe_vpcs", "Vpcs"),
    ("events", "list_rules", "Rules"),
    ("iam", "list_instance_profiles", "InstanceProfiles"),
    ("lambda", "list_functions", "Functions"),
    ("logs", "describe_log_groups", "logGroups"),
    ("rds", "describe_db_cluster_parameter_groups", "DBClusterParameterGroups"),
    ("rds", "describe_db_cluster_snapshots", "DBClusterSnapshots"),
    ("rds", "describe_db_clusters", "DBClusters"),
    ("rds", "describe_db_instances", "DBInstances"),
    ("rds", "describe_db_subnet_groups", "DBSubnetGroups"),
    ("secretsmanager", "list_secrets", "SecretList"),
    ("sns", "list_subscriptions", "Subscriptions"),
    ("sns", "list_topics", "Topics"),
    ("stepfunctions", "list_state_machines", "stateMachines"),
)

# What bootstrap makes, and destroy leaves: service, operation, how it is asked, and where the
# answer has the list.
BASIS = (
    ("iam", "list_policies", {"Scope": "Local"}, "Policies"),
    ("iam", "list_roles", {}, "Roles"),
    ("kms", "list_keys", {}, "Keys"),
    ("lambda", "list_code_signing_configs", {}, "CodeSigningConfigs"),
    ("s3", "list_buckets", {}, "Buckets"),
    ("signer", "list_signing_profiles", {}, "profiles"),
)
# Under which of these one is named.
NAMES = ("KeyId", "Name", "RoleName", "PolicyName", "CodeSigningConfigArn", "profileName")


def basis(stack: Stack, account: str) -> dict[str, set[str]]:
    """Return the names of what bootstrap makes, kind by kind, without keys that are to go."""
    found = {
        key: {
            next(one[name] for name in NAMES if name in one)
            for one in getattr(stack.client(service, account), operation)(**asked)[key]
        }
        for service, operation, asked, key in BASIS
    }
    kms = stack.client("kms", account)
    states = {key: kms.describe_key(KeyId=key)["KeyMetadata"] for key in found["Keys"]}
    kept = {key for key, state in states.items() if state["KeyState"] != "PendingDeletion"}
    return {**found, "Keys": kept}


def count(stack: Stack, account: str) -> dict[str, int]:
    """Return how many of each kind there are; what has ended does not count."""
    found = {
        key: len(getattr(stack.client(service, account), operation)()[key])
        for service, operation, key in KINDS
    }
    reservations = stack.client("ec2", account).describe_instances()["Reservations"]
    instances: list[Any] = [i for r in reservations for i in r["Instances"]]
    running = [i for i in instances if i["State"]["Name"] != "terminated"]
    return {**found, "Instances": len(running)}
