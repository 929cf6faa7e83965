"""Migrations that a build runs: what it was started for, and who may start it."""

import contextlib
from collections.abc import Iterator

import botocore.exceptions
import pytest

from local.stack import Stack
from tests.playbooks.iam.account import ACCOUNT, RUNNER, Deploy
from tests.playbooks.identities import acting
from tests.playbooks.plays import Play

BUCKET = f"schema-migrations-code-{ACCOUNT}-eu-central-1"


@contextlib.contextmanager
def swapped_packages(stack: Stack) -> Iterator[None]:
    """Put something else in the place of every package, as who may write the bucket can."""
    s3 = stack.client("s3", ACCOUNT)
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix="packages/")["Contents"]
    kept = {o["Key"]: s3.get_object(Bucket=BUCKET, Key=o["Key"])["Body"].read() for o in found}
    for key in kept:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"evil")
    yield
    for key, data in kept.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=data)


def test_another_digest_is_refused_by_the_build(deployed: dict[str, Play], deploy: Deploy) -> None:
    play = deploy("playbooks/migrate.yml", "-e", f"plan_digest=sha256:{'0' * 64}")
    assert play.status != 0
    assert f"it runs as arn:aws:codebuild:eu-central-1:{ACCOUNT}:build/{RUNNER}:" in play.message
    assert "what would run now is not what was approved" in play.message


def test_a_swapped_package_is_not_run_and_a_missing_result_is_red(
    deployed: dict[str, Play], deploy: Deploy, stack: Stack
) -> None:
    with swapped_packages(stack):
        play = deploy("playbooks/migrate.yml")
    assert play.status != 0
    assert "the build ended as FAILED and left no result" in play.message
    assert "runner.zip: FAILED" in play.message


def test_who_may_migrate_can_start_no_build(deployed: dict[str, Play], stack: Stack) -> None:
    builds = acting(stack, "codebuild", ACCOUNT, "schema-migrations-invoke-live")
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        builds.start_build(projectName=RUNNER, buildspecOverride="version: 0.2")
