"""An emulated Aurora cluster has a real PostgreSQL behind it, reached as on AWS."""

import concurrent.futures
import contextlib
import json

import botocore.exceptions
import psycopg2
import pytest

from runner.embedded.process import Process


@pytest.fixture
def rds(stack):
    return stack.client("rds")


@pytest.fixture
def cluster(rds):
    created = rds.create_db_cluster(
        DBClusterIdentifier="shop", Engine="aurora-postgresql", EngineVersion="16.11",
        MasterUsername="postgres", ManageMasterUserPassword=True, DatabaseName="shop", Port=5432,
        EnableCloudwatchLogsExports=["postgresql"],
    )["DBCluster"]  # fmt: skip
    yield created
    with contextlib.suppress(rds.exceptions.DBClusterNotFoundFault):
        rds.delete_db_cluster(DBClusterIdentifier="shop", SkipFinalSnapshot=True)


def secret(stack, cluster):
    value = stack.client("secretsmanager").get_secret_value(
        SecretId=cluster["MasterUserSecret"]["SecretArn"]
    )
    return json.loads(value["SecretString"])


def connect(stack, cluster, password):
    return psycopg2.connect(
        host=cluster["Endpoint"], port=cluster["Port"], user="postgres", password=password,
        dbname="shop", sslmode="verify-full", sslrootcert=stack.state.authority,
    )  # fmt: skip


def query(stack, cluster, statement):
    connection = connect(stack, cluster, secret(stack, cluster)["password"])
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else None
    connection.close()
    return rows


def test_the_master_user_is_no_superuser(stack, cluster):
    assert query(
        stack, cluster, "select rolsuper, rolcreaterole from pg_roles where rolname = current_user"
    ) == [(False, True)]


def test_what_was_asked_for_is_described(rds, cluster):
    (found,) = rds.describe_db_clusters(DBClusterIdentifier="shop")["DBClusters"]
    assert found["Endpoint"] == "localhost"
    assert found["EnabledCloudwatchLogsExports"] == ["postgresql"]


def test_an_instance_has_the_clusters_endpoint(rds, cluster):
    instance = rds.create_db_instance(
        DBInstanceIdentifier="shop-1", DBClusterIdentifier="shop", Engine="aurora-postgresql",
        DBInstanceClass="db.serverless",
    )["DBInstance"]  # fmt: skip
    assert instance["Endpoint"]["Port"] == cluster["Port"]
    rds.delete_db_instance(DBInstanceIdentifier="shop-1", SkipFinalSnapshot=True)


@pytest.mark.parametrize("through", ["rds", "secretsmanager"])
def test_a_rotated_password_is_the_databases_password(stack, rds, cluster, through):
    before = secret(stack, cluster)["password"]
    if through == "rds":
        rds.modify_db_cluster(
            DBClusterIdentifier="shop", RotateMasterUserPassword=True, ApplyImmediately=True
        )
    else:
        stack.client("secretsmanager").rotate_secret(
            SecretId=cluster["MasterUserSecret"]["SecretArn"]
        )
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        connect(stack, cluster, before)
    assert query(stack, cluster, "select 1") == [(1,)]


def test_deleting_the_cluster_removes_server_and_data(stack, rds, cluster):
    home = stack.state.folder / "postgres" / "000000000000-shop"
    process = Process.running(int((home / "data" / "postmaster.pid").read_text().split()[0]))
    rds.delete_db_cluster(DBClusterIdentifier="shop", SkipFinalSnapshot=True)
    assert not process.alive
    assert not home.exists()


def test_a_protected_cluster_keeps_running(stack, rds, cluster):
    rds.modify_db_cluster(
        DBClusterIdentifier="shop", DeletionProtection=True, ApplyImmediately=True
    )
    with pytest.raises(botocore.exceptions.ClientError, match="DeletionProtection"):
        rds.delete_db_cluster(DBClusterIdentifier="shop", SkipFinalSnapshot=True)
    assert query(stack, cluster, "select 1") == [(1,)]
    rds.modify_db_cluster(
        DBClusterIdentifier="shop", DeletionProtection=False, ApplyImmediately=True
    )


def test_clusters_created_at_once_get_servers_of_their_own(stack, rds):
    def create(number):
        return rds.create_db_cluster(
            DBClusterIdentifier=f"many-{number}", Engine="aurora-postgresql",
            EngineVersion="16.11", MasterUsername="postgres", MasterUserPassword="long-enough",
        )["DBCluster"]["Port"]  # fmt: skip

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        ports = list(pool.map(create, range(3)))
    for number in range(3):
        rds.delete_db_cluster(DBClusterIdentifier=f"many-{number}", SkipFinalSnapshot=True)
    assert len(set(ports)) == 3
