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
)


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
