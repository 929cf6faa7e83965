"""Provision the three environments once, exactly as committed, and let all tests look at them."""

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.ansible.warm import warm
from local.stack import Stack
from tests.playbooks.leftovers import basis, count
from tests.playbooks.plays import ACCOUNTS, ALONE, PLAIN_ACCOUNT, ROOT, WHOLE, Play, Playbooks

# More at a time would only wait for each other.
CORES = 2
# Where the first deployment of the environment `local` is killed, again and again: each time
# something exists already that the next run has to find, finish or do without.
INTERRUPTIONS = (
    ("playbooks/network.yml", "CreateRouteTable"),
    ("playbooks/network.yml", "CreateVpcEndpoint"),
    ("site.yml", "CreateDBCluster"),
    ("playbooks/database.yml", "CreateDBInstance"),
    ("playbooks/sign.yml", "StartSigningJob"),
    ("site.yml", "CreateFunction"),
    ("playbooks/runner.yml", "CreateAlias"),
    ("playbooks/bastion.yml", "CreateInstanceProfile"),
    ("playbooks/pipeline.yml", "CreatePipeline"),
)


@pytest.fixture(scope="session")
def playbook(stack: Stack) -> Iterator[Playbooks]:
    """Run playbooks on the stack."""
    with warm(os.environ) as python:
        yield Playbooks(stack, python)


def _run(playbook: Playbooks, env: str, names: tuple[str, ...] = WHOLE) -> dict[str, Play]:
    plays = {}
    for name in names:
        play = plays[f"{env} {Path(name).stem}"] = playbook(name, env)
        assert play.status == 0, play.output
    return plays


def _run_interrupted(playbook: Playbooks, env: str) -> dict[str, Play]:
    bootstrap = playbook("playbooks/bootstrap.yml", env)
    assert bootstrap.status == 0, bootstrap.output
    for name, operation in INTERRUPTIONS:
        playbook.interrupt(name, env, operation)
    return {f"{env} bootstrap": bootstrap, f"{env} site": playbook("site.yml", env)}


@pytest.fixture(scope="session")
def before(stack: Stack) -> dict[str, dict[str, int]]:
    """Count what is in the accounts that will be destroyed; other tests may have left something."""
    return {env: count(stack, ACCOUNTS[env]) for env in ("dev", "local")}


@pytest.fixture(scope="session")
def new(stack: Stack) -> dict[str, dict[str, set[str]]]:
    """Give what is in the accounts that will be given up, of the kinds that bootstrap makes."""
    return {env: basis(stack, account) for env, account in ACCOUNTS.items()}


@pytest.fixture(scope="session")
def first(
    new: dict[str, dict[str, set[str]]], before: dict[str, dict[str, int]], playbook: Playbooks
) -> dict[str, Play]:
    """Bootstrap and deploy everything: dev before prod, which trusts it; local beside them."""
    with ThreadPoolExecutor(CORES) as pool:
        accounts = pool.submit(lambda: {**_run(playbook, "dev"), **_run(playbook, "prod")})
        local = pool.submit(_run_interrupted, playbook, "local")
        return {**accounts.result(), **local.result()}


@pytest.fixture(scope="session")
def second(first: dict[str, Play], playbook: Playbooks) -> dict[str, Play]:
    """Do it all again, prod by each of its playbooks alone, and local once more in check mode."""
    with ThreadPoolExecutor(CORES) as pool:
        dev = pool.submit(_run, playbook, "dev")
        prod = pool.submit(_run, playbook, "prod", ALONE)
        local = pool.submit(_run, playbook, "local")
        check = pool.submit(playbook, "site.yml", "local", "--check", "--diff")
        plays = {**dev.result(), **prod.result(), **local.result()}
        return {**plays, "local check": check.result()}


# Settings of many roles, changed at once, and the tasks that have to do with them.
CHANGES = {
    "network_endpoints": ["secretsmanager", "ssm", "ssmmessages", "logs"],
    "database_max_capacity": 2,
    "database_rotation_days": 14,
    "database_log_days": 60,
    "fleet_at_once": 3,
    "runner_memory": 1024,
    "runner_keep_versions": 1,
    "runner_folders": ["runner", "sql", "docs"],
    "runner_log_days": 60,
    "runner_alarm_emails": ["on-call@example.com"],
    "pipeline_log_days": 60,
    "pipeline_alarm_emails": ["on-call@example.com"],
    "pipeline_source": {"repository": "schema-migrations", "branch": "release"},
}


@pytest.fixture(scope="session")
def changed(second: dict[str, Play], playbook: Playbooks) -> list[Play]:
    """Change settings of the environment `local`, then all of them back and a tag instead."""
    tags = {"Project": "schema-migrations", "Environment": "local", "ManagedBy": "ansible"}
    plays = [
        playbook("site.yml", "local", "-e", json.dumps(variables))
        for variables in (CHANGES, {"common_tags": {**tags, "Owner": "tests"}})
    ]
    for play in plays:
        assert play.status == 0, play.output
    return plays


def forget(stack: Stack, env: str, engine: str) -> None:
    """Leave what a rehearsal leaves that is killed: a copy, which destroy has to find."""
    rds = stack.client("rds", {**ACCOUNTS, "plain": PLAIN_ACCOUNT}[env])
    name, cluster = f"schema-migrations-{env}-rehearsal-forgotten", {}
    if engine != "postgres":
        rds.create_db_cluster(
            DBClusterIdentifier=name,
            Engine=engine,
            MasterUsername="postgres",
            MasterUserPassword="nobody-knows",
        )
        cluster = {"DBClusterIdentifier": name}
    rds.create_db_instance(
        DBInstanceIdentifier=f"{name}-1",
        Engine=engine,
        DBInstanceClass="db.serverless" if cluster else "db.t4g.micro",
        AllocatedStorage=20,
        **cluster,
    )


@pytest.fixture(scope="session")
def destroyed(changed: list[Play], provisioned: Stack, playbook: Playbooks) -> Play:
    """Destroy local, which had every change, and dev, with its repository."""
    for env in ("dev", "local"):  # as a build leaves it
        provisioned.client("codebuild", ACCOUNTS[env]).create_report_group(
            name="schema-migrations-check-migrations",
            type="TEST",
            exportConfig={"exportConfigType": "NO_EXPORT"},
        )
    forget(provisioned, "local", "aurora-postgresql")
    options = {"dev": ("-e", "repository=delete"), "local": ()}
    with ThreadPoolExecutor(CORES) as pool:
        runs = [
            pool.submit(playbook, "playbooks/destroy.yml", env, "-e", f"confirm={env}", *more)
            for env, more in options.items()
        ]
        plays = [run.result() for run in runs]
    for play in plays:
        assert play.status == 0, play.output
    return plays[0]


@pytest.fixture(scope="session")
def unprotected(destroyed: Play, playbook: Playbooks) -> dict[str, Play]:
    """Take the protection off prod's database, then destroy prod, which leaves a snapshot."""
    plays = {}
    for name in ("database", "destroy"):
        given = ("-e", "confirm=prod", "-e", "database_deletion_protection=false")
        play = plays[name] = playbook(f"playbooks/{name}.yml", "prod", *given)
        assert play.status == 0, play.output
    return plays


@pytest.fixture(scope="session")
def given_up(unprotected: dict[str, Play], playbook: Playbooks, stack: Stack) -> dict[str, Play]:
    """Tear down all accounts, local with an artifact, then what stayed of it and of prod."""
    artifact = {"Bucket": "schema-migrations-artifacts-000000000000-eu-central-1", "Key": "a"}
    s3 = stack.client("s3", ACCOUNTS["local"])
    s3.put_object(**artifact, Body=b"")
    s3.delete_object(**artifact)  # one that nobody sees, and that is a version all the same

    def tear_down(env: str, *more: str) -> Play:
        play = playbook("playbooks/teardown.yml", env, "-e", f"confirm={env}", *more)
        assert play.status == 0, play.output
        return play

    with ThreadPoolExecutor(CORES) as pool:
        dev = pool.submit(tear_down, "dev", "-e", "buckets=delete")
        plays = {"prod": tear_down("prod"), "local": tear_down("local"), "dev": dev.result()}
        wholly = pool.submit(tear_down, "local", "-e", "buckets=delete")
        plays["prod wholly"] = tear_down("prod", "-e", "key=delete", "-e", "key_days=7")
        return {**plays, "local wholly": wholly.result()}


@pytest.fixture(scope="session")
def provisioned(first: dict[str, Play], stack: Stack) -> Stack:
    """Give the stack with the three environments in it."""
    return stack


# What makes the inventory `local` one with an RDS instance.
PLAIN = """
database_engine: postgres
database_instance_class: db.t4g.micro
database_storage: 20
database_multi_az: false
account_deployers: ["arn:aws:iam::{{ account_id }}:root"]
account_invokers:
  read: "{{ account_deployers }}"
  live: "{{ account_deployers }}"
  admin: "{{ account_deployers }}"
  rehearse: "{{ account_deployers }}"
rehearsal_wanted: true
"""


@pytest.fixture(scope="session")
def plain(playbook: Playbooks, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Play]:
    """Provision, migrate, look at again and destroy an account whose engine is RDS PostgreSQL."""
    folder = tmp_path_factory.mktemp("inventory") / "plain"
    shutil.copytree(ROOT / "inventories/local", folder)
    (folder / "hosts.yml").write_text("aws: {hosts: {plain: }}\n")
    variables = folder / "group_vars/aws.yml"
    given = variables.read_text().replace(ACCOUNTS["local"], PLAIN_ACCOUNT)
    given = given.replace("plan_digest: true", "plan_digest: false")
    given = given.replace("runner_signed: true", "runner_signed: false")
    lines = [line for line in given.splitlines() if "_capacity" not in line]
    variables.write_text("\n".join(lines) + PLAIN)
    plays = {}
    for name in (
        *("bootstrap", "network", "database", "runner", "rehearse", "migrate", "database"),
        "destroy",
    ):
        again = " again" if name in plays else ""
        if name == "destroy":
            forget(playbook.stack, "plain", "postgres")
        play = plays[name + again] = playbook(
            f"playbooks/{name}.yml",
            "local",
            *("-e", "confirm=plain"),
            inventory=str(folder),
            AWS_ACCESS_KEY_ID=PLAIN_ACCOUNT,
            RECORD_ENVIRONMENT="plain",
        )
        assert play.status == 0, play.output
    return plays


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what changes or destroys an environment after everything that looks at it."""
    late = ("given_up", "unprotected", "changed", "asked", "destroyed")
    items.sort(key=lambda item: [name in getattr(item, "fixturenames", ()) for name in late])
