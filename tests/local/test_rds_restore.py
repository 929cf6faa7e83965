"""What the emulated RDS restores has all that its source has, in a server of its own."""

import contextlib
import json

import botocore.exceptions
import psycopg2
import pytest


@pytest.fixture(scope="module")
def sources(stack):
    """A cluster with an instance and a plain instance, each with a table."""
    rds = stack.client("rds")
    same = {"MasterUsername": "postgres", "ManageMasterUserPassword": True}
    cluster = rds.create_db_cluster(
        DBClusterIdentifier="whole", Engine="aurora-postgresql", EngineVersion="17.7",
        DatabaseName="shop", **same,
    )["DBCluster"]  # fmt: skip
    rds.create_db_instance(
        DBInstanceIdentifier="whole-1", DBClusterIdentifier="whole", Engine="aurora-postgresql",
        DBInstanceClass="db.serverless",
    )  # fmt: skip
    alone = rds.create_db_instance(
        DBInstanceIdentifier="alone", Engine="postgres", EngineVersion="17.7", DBName="shop",
        DBInstanceClass="db.t4g.micro", AllocatedStorage=20, BackupRetentionPeriod=1, **same,
    )["DBInstance"]  # fmt: skip
    for made in (cluster, alone):
        told(stack, made, "create table customer as select generate_series(1, 7) as id")
    yield rds
    for name in ("alone", "whole-1"):
        rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
    rds.delete_db_cluster(DBClusterIdentifier="whole", SkipFinalSnapshot=True)


def told(stack, database, sql):
    """Return what a database answers to its master user, who is whom its secret says."""
    arn = database["MasterUserSecret"]["SecretArn"]
    secret = stack.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
    endpoint = database["Endpoint"]
    host, port = (
        (endpoint["Address"], endpoint["Port"])
        if isinstance(endpoint, dict)
        else (endpoint, database["Port"])
    )
    connection = psycopg2.connect(
        host=host, port=port, user="postgres", password=json.loads(secret)["password"],
        dbname="shop", sslmode="verify-full", sslrootcert=stack.state.authority,
    )  # fmt: skip
    with contextlib.closing(connection), connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone() if cursor.description else None


CLONE = {
    "DBClusterIdentifier": "copied", "SourceDBClusterIdentifier": "whole",
    "RestoreType": "copy-on-write", "UseLatestRestorableTime": True,
}  # fmt: skip


def test_a_clone_has_the_data_and_with_a_secret_of_its_own_another_password(stack, sources):
    sources.restore_db_cluster_to_point_in_time(**CLONE)
    made = sources.modify_db_cluster(
        DBClusterIdentifier="copied", ManageMasterUserPassword=True, ApplyImmediately=True
    )["DBCluster"]
    assert told(stack, made, "select count(*) from customer") == (7,)
    told(stack, made, "drop table customer")
    whole = sources.describe_db_clusters(DBClusterIdentifier="whole")["DBClusters"][0]
    assert told(stack, whole, "select count(*) from customer") == (7,)
    sources.delete_db_cluster(DBClusterIdentifier="copied", SkipFinalSnapshot=True)
    assert not (stack.state.folder / "postgres/000000000000-copied").exists()


def test_an_instance_is_restored_with_its_data(stack, sources):
    made = sources.restore_db_instance_to_point_in_time(
        SourceDBInstanceIdentifier="alone", TargetDBInstanceIdentifier="again",
        UseLatestRestorableTime=True, ManageMasterUserPassword=True,
    )["DBInstance"]  # fmt: skip
    assert made["DBInstanceIdentifier"] == "again"
    assert told(stack, made, "select count(*) from customer") == (7,)
    sources.delete_db_instance(DBInstanceIdentifier="again", SkipFinalSnapshot=True)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"SourceDBClusterIdentifier": "nobody"}, "DBClusterNotFoundFault"),
        ({"DBClusterIdentifier": "a--b"}, "InvalidParameterValue"),
        ({"DBClusterIdentifier": "whole"}, "DBClusterAlreadyExistsFault"),
        ({"UseLatestRestorableTime": False}, "InvalidParameterCombination"),
        ({"RestoreType": "quick"}, "InvalidParameterValue"),
        ({"VpcSecurityGroupIds": ["sg-00000000"]}, "InvalidParameterValue"),
        ({"DBSubnetGroupName": "nowhere"}, "DBSubnetGroupNotFoundFault"),
        ({"DBClusterParameterGroupName": "none"}, "DBClusterParameterGroupNotFound"),
    ],
)
def test_what_aws_refuses_to_restore_is_refused(sources, given, code):
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        sources.restore_db_cluster_to_point_in_time(**{**CLONE, **given})
    assert refused.value.response["Error"]["Code"] == code


def test_a_cluster_without_an_instance_is_not_cloned(sources):
    sources.restore_db_cluster_to_point_in_time(**CLONE)
    again = {"SourceDBClusterIdentifier": "copied", "DBClusterIdentifier": "copied-2"}
    with pytest.raises(botocore.exceptions.ClientError, match="has no DB instances"):
        sources.restore_db_cluster_to_point_in_time(**{**CLONE, **again})
    sources.delete_db_cluster(DBClusterIdentifier="copied", SkipFinalSnapshot=True)
