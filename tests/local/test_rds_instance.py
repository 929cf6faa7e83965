"""An emulated RDS instance without a cluster has a real PostgreSQL behind it, as a cluster has."""

import json

import botocore.exceptions
import psycopg2
import pytest

from runner.embedded.process import Process


@pytest.fixture
def instance(stack):
    rds = stack.client("rds")
    yield rds.create_db_instance(
        DBInstanceIdentifier="plain", Engine="postgres", EngineVersion="17.7", DBName="shop",
        DBInstanceClass="db.t4g.micro", AllocatedStorage=20, MasterUsername="postgres",
        ManageMasterUserPassword=True,
    )["DBInstance"]  # fmt: skip
    rds.delete_db_instance(DBInstanceIdentifier="plain", SkipFinalSnapshot=True)


def password(stack, instance):
    arn = instance["MasterUserSecret"]["SecretArn"]
    value = stack.client("secretsmanager").get_secret_value(SecretId=arn)
    return json.loads(value["SecretString"])["password"]


def connect(stack, instance, secret):
    endpoint = instance["Endpoint"]
    return psycopg2.connect(
        host=endpoint["Address"], port=endpoint["Port"], user="postgres", password=secret,
        dbname="shop", sslmode="verify-full", sslrootcert=stack.state.authority,
    )  # fmt: skip


def test_a_rotated_password_is_the_databases_password(stack, instance):
    before = password(stack, instance)
    arn = instance["MasterUserSecret"]["SecretArn"]
    stack.client("secretsmanager").rotate_secret(SecretId=arn)
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        connect(stack, instance, before)
    connect(stack, instance, password(stack, instance)).close()


def test_deleting_the_instance_removes_server_data_and_secret(stack):
    rds = stack.client("rds")
    made = rds.create_db_instance(
        DBInstanceIdentifier="gone", Engine="postgres", DBInstanceClass="db.t4g.micro",
        AllocatedStorage=20, MasterUsername="postgres", ManageMasterUserPassword=True,
    )["DBInstance"]  # fmt: skip
    home = stack.state.folder / "postgres" / "000000000000-gone"
    process = Process.running(int((home / "data" / "postmaster.pid").read_text().split()[0]))
    rds.delete_db_instance(DBInstanceIdentifier="gone", SkipFinalSnapshot=True)
    assert not process.alive
    assert not home.exists()
    with pytest.raises(botocore.exceptions.ClientError, match="ResourceNotFound"):
        password(stack, made)


def test_a_version_that_is_not_offered_is_refused_as_on_aws(stack):
    with pytest.raises(botocore.exceptions.ClientError, match=r"Cannot find version 17\.99"):
        stack.client("rds").create_db_instance(
            DBInstanceIdentifier="never", Engine="postgres", EngineVersion="17.99",
            DBInstanceClass="db.t4g.micro", AllocatedStorage=20, MasterUsername="postgres",
        )  # fmt: skip
