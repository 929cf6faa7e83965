"""Who may reach the bastion: operators, through two documents; no session of the pipeline."""

from collections.abc import Iterator

import botocore.exceptions
import pytest

from local.stack import Stack
from tests.playbooks.identities import acting, client, roles, session
from tests.playbooks.plays import ACCOUNTS

DEV = ACCOUNTS["dev"]
TUNNEL = "AWS-StartPortForwardingSessionToRemoteHost"


def connected(stack: Stack, name: str = "somebody") -> dict[str, str]:
    """Return the keys of a session of dev's connect role, as one of its operators has them."""
    answer = stack.client("sts", DEV).assume_role(
        RoleArn=f"arn:aws:iam::{DEV}:role/schema-migrations-connect", RoleSessionName=name
    )
    return dict(answer["Credentials"])


def bastion(stack: Stack) -> str:
    """Return the id of dev's bastion."""
    here = [{"Name": "tag:Name", "Values": ["schema-migrations-dev-bastion"]}]
    (found,) = stack.client("ec2", DEV).describe_instances(Filters=here)["Reservations"]
    return str(found["Instances"][0]["InstanceId"])


@pytest.fixture(scope="module")
def stranger(provisioned: Stack) -> Iterator[str]:
    """Start an instance of the same project and environment that is not the bastion."""
    tags = [
        {"Key": "Project", "Value": "schema-migrations"},
        {"Key": "Environment", "Value": "dev"},
    ]
    ec2 = provisioned.client("ec2", DEV)
    started = ec2.run_instances(
        ImageId="ami-0c2023a1b2c3d4e60",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    identifier = str(started["Instances"][0]["InstanceId"])
    yield identifier
    ec2.terminate_instances(InstanceIds=[identifier])


@pytest.mark.parametrize("document", [TUNNEL, "AWS-StartSSHSession"])
def test_an_operator_starts_a_session_on_the_bastion(provisioned: Stack, document: str) -> None:
    ssm = client(provisioned, "ssm", connected(provisioned))
    assert ssm.start_session(Target=bastion(provisioned), DocumentName=document)["TokenValue"]


@pytest.mark.parametrize(
    "request_", [{"DocumentName": "AWS-StartInteractiveCommand"}, {}], ids=["another", "a shell"]
)
def test_other_documents_are_denied(provisioned: Stack, request_: dict[str, str]) -> None:
    ssm = client(provisioned, "ssm", connected(provisioned))
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        ssm.start_session(Target=bastion(provisioned), **request_)


def test_other_instances_are_denied(provisioned: Stack, stranger: str) -> None:
    ssm = client(provisioned, "ssm", connected(provisioned))
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        ssm.start_session(Target=stranger, DocumentName=TUNNEL)


def test_a_key_is_pushed_to_the_bastion_only(provisioned: Stack, stranger: str) -> None:
    keys = client(provisioned, "ec2-instance-connect", connected(provisioned))
    key = {"InstanceOSUser": "ec2-user", "SSHPublicKey": "ssh-ed25519 " + 80 * "A"}
    assert keys.send_ssh_public_key(InstanceId=bastion(provisioned), **key)["Success"]
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        keys.send_ssh_public_key(InstanceId=stranger, **key)


def test_a_key_is_pushed_for_one_user_only(provisioned: Stack) -> None:
    keys = client(provisioned, "ec2-instance-connect", connected(provisioned))
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        keys.send_ssh_public_key(
            InstanceId=bastion(provisioned),
            InstanceOSUser="root",
            SSHPublicKey="ssh-ed25519 " + 80 * "A",
        )


def test_an_operator_ends_own_sessions_only(provisioned: Stack) -> None:
    mine, theirs = (client(provisioned, "ssm", connected(provisioned, n)) for n in ("me", "them"))
    session = mine.start_session(Target=bastion(provisioned), DocumentName=TUNNEL)["SessionId"]
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        theirs.terminate_session(SessionId=session)
    assert mine.terminate_session(SessionId=session)["SessionId"] == session


def test_the_connect_role_does_not_read_the_password(provisioned: Stack) -> None:
    (secret,) = provisioned.client("secretsmanager", DEV).list_secrets()["SecretList"]
    reading = client(provisioned, "secretsmanager", connected(provisioned))
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        reading.get_secret_value(SecretId=secret["ARN"])


@pytest.mark.parametrize("env", ["dev", "prod"])
@pytest.mark.parametrize("build", ["build-check", "build-deploy-prod", "build-migrate-prod"])
def test_no_build_takes_the_connect_role(provisioned: Stack, build: str, env: str) -> None:
    sts = session(provisioned, build)
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        sts.assume_role(
            RoleArn=f"arn:aws:iam::{ACCOUNTS[env]}:role/schema-migrations-connect",
            RoleSessionName="build",
        )


@pytest.mark.parametrize("env", ACCOUNTS)
def test_the_connect_role_trusts_operators_only(provisioned: Stack, env: str) -> None:
    trust = roles(provisioned, ACCOUNTS[env])["schema-migrations-connect"]
    (statement,) = trust["AssumeRolePolicyDocument"]["Statement"]
    trusted = statement["Principal"]["AWS"]
    assert trusted in (f"arn:aws:iam::{ACCOUNTS[env]}:root", [f"arn:aws:iam::{ACCOUNTS[env]}:root"])


def test_a_deployment_opens_no_tunnel(provisioned: Stack) -> None:
    ssm = acting(provisioned, "ssm", DEV, "schema-migrations-deploy")
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        ssm.start_session(Target=bastion(provisioned), DocumentName=TUNNEL)
