"""A migration that the function has a build do, end to end: from the call to the result."""

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from local.stack import Stack
from runner import handler
from runner.commands import invoke as invoking
from runner.errors import Unproved
from runner.result import Document
from tests.aws import NETWORK, make_builder, network_without_way_out, package_of_runner

ACCOUNT = "555566661111"
ROOT = Path(__file__).parents[2]
BUCKET, PROJECT = "long-code", "shop-runner"
SQL = {"V001__a.sql": "create table a (id int);\n", "U001__a.sql": "drop table a;\n"}
Migrate = Callable[..., Document]


class Context:
    """What Lambda hands to a handler."""

    invoked_function_arn = f"arn:aws:lambda:eu-central-1:{ACCOUNT}:function:{PROJECT}:live"

    def __init__(self, token: str) -> None:
        self.aws_request_id = token


def package(folder: Path, **files: str) -> bytes:
    """Return the runner's package with these migrations."""
    named = {f"sql/{name}": text for name, text in files.items()}
    return package_of_runner({"ca-bundle.pem": (folder / "ca.pem").read_text(), **named})


def steps(digest: str) -> str:
    """Return the project's buildspec, as the role makes it."""
    template = (ROOT / "roles/runner/templates/steps.yml.j2").read_text()
    return jinja2.Template(template).render(
        runner_python="3.13", runner_code_bucket=BUCKET, __runner_hash=digest,
        __runner_packaged=f"packages/{digest}.zip",
    )  # fmt: skip


@pytest.fixture(scope="module")
def account(stack: Stack) -> dict[str, Any]:
    """Make a network that leads nowhere, a bucket and the build's role."""
    iam = stack.client("iam", ACCOUNT)
    make_builder(stack, ACCOUNT)
    rights = [*NETWORK, "s3:GetObject", "s3:PutObject"]
    statement = {"Effect": "Allow", "Action": rights, "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    iam.put_role_policy(RoleName="builder", PolicyName="p", PolicyDocument=json.dumps(policy))
    location = {"LocationConstraint": "eu-central-1"}
    stack.client("s3", ACCOUNT).create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
    return network_without_way_out(stack, ACCOUNT)


@pytest.fixture
def variables(database: str, front: int) -> dict[str, str]:
    """Give what the project has its builds know."""
    login = parse_dsn(database)
    return {
        "PGHOST": "localhost",
        "PGPORT": str(front),
        "PGDATABASE": login["dbname"],
        "PGUSER": login["user"],
        "PGPASSWORD": login.get("password", ""),
        "PGSSLMODE": "verify-full",
        "REQUIRE_PLAN_DIGEST": "true",
        "RESULTS_BUCKET": BUCKET,
        "RUN_MINUTES": "60",
    }


@pytest.fixture
def migrate(
    stack: Stack,
    account: dict[str, Any],
    variables: dict[str, str],
    certificates: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Migrate]:
    """Migrate through the function and the build that it starts."""
    builds, s3 = stack.client("codebuild", ACCOUNT), stack.client("s3", ACCOUNT)
    for name, value in {**stack.environment(ACCOUNT), "RUNNER_PROJECT": PROJECT}.items():
        monkeypatch.setenv(name, value)
    calls = iter(range(100))

    def call(_: Any, __: str, payload: bytes, *___: Any) -> dict[str, Any]:
        answer = handler.handle(
            json.loads(payload), Context(f"{variables['PGDATABASE']}-{next(calls)}")
        )
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}

    monkeypatch.setattr(invoking, "_call", call)

    def migrating(*, digest: str, swap: bytes = b"", said: list[str], **files: str) -> Document:
        data = package(certificates, **files)
        name = hashlib.sha256(data).hexdigest()
        s3.put_object(Bucket=BUCKET, Key=f"packages/{name}.zip", Body=swap or data)
        given = [{"name": n, "value": v, "type": "PLAINTEXT"} for n, v in variables.items()]
        builds.create_project(
            name=PROJECT,
            source={"type": "NO_SOURCE", "buildspec": steps(name)},
            artifacts={"type": "NO_ARTIFACTS"},
            environment={
                "type": "ARM_CONTAINER",
                "image": "i",
                "computeType": "BUILD_GENERAL1_SMALL",
                "environmentVariables": given,
            },
            serviceRole=f"arn:aws:iam::{ACCOUNT}:role/builder",
            vpcConfig=account,
        )
        return invoking.invoke(
            Context.invoked_function_arn,
            run_id="run-1",
            command="migrate",
            options={"plan_digest": digest},
            progress=said.append,
        )

    yield migrating
    builds.delete_project(name=PROJECT)


ANOTHER = f"sha256:{'0' * 64}"


def planned(result: Document) -> str:
    """Return the digest that a refused plan has now."""
    error = result["error"]
    assert error
    (digest,) = {*re.findall("sha256:[0-9a-f]{64}", json.dumps(error))} - {ANOTHER}
    return str(digest)


def test_an_approved_plan_is_run_by_a_build_and_another_is_refused(
    migrate: Migrate, database: str, stack: Stack
) -> None:
    said: list[str] = []
    refused = migrate(digest=ANOTHER, said=said, **SQL)
    assert refused["exit_code"] != 0
    stack.client("codebuild", ACCOUNT).delete_project(name=PROJECT)
    done = migrate(digest=planned(refused), said=said, **SQL)
    assert [task["file"] for task in done["applied"]] == ["V001__a.sql"]
    assert any(text.startswith("done V001__a.sql") for text in said)
    with psycopg2.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from a")
    connection.close()


def test_a_migration_that_fails_in_a_build_is_red_in_its_own_words(
    migrate: Migrate, stack: Stack
) -> None:
    files = {"V001__a.sql": "select 1;\nselect nothing;\n", "U001__a.sql": "select 1;\n"}
    refused = migrate(digest=ANOTHER, said=[], **files)
    stack.client("codebuild", ACCOUNT).delete_project(name=PROJECT)
    result = migrate(digest=planned(refused), said=[], **files)
    assert (result["exit_code"], result["outcome"]) == (3, "failed")
    error = result["error"]
    assert error
    assert (error["file"], error["line"]) == ("sql/V001__a.sql", 2)
    assert 'column "nothing" does not exist' in error["message"]


def test_a_package_in_anothers_place_is_not_run_and_no_result_is_red(migrate: Migrate) -> None:
    said: list[str] = []
    with pytest.raises(Unproved, match="ended as FAILED and left no result"):
        migrate(digest=ANOTHER, swap=b"evil", said=said, **SQL)
    assert any("runner.zip: FAILED" in text for text in said)
