"""An environment like local, in an account of its own: it logs in by tokens, and builds migrate."""

import shutil
from pathlib import Path

import pytest

from local.stack import Stack
from tests.playbooks.iam.account import ACCOUNT, Deploy
from tests.playbooks.plays import ROOT, Play, Playbooks


@pytest.fixture(scope="session")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the local inventory; the account, the login and what runs migrations are others."""
    folder = tmp_path_factory.mktemp("iam") / "inventory"
    shutil.copytree(ROOT / "inventories/local", folder)
    variables = folder / "group_vars/aws.yml"
    text = variables.read_text().replace("000000000000", ACCOUNT)
    text = text.replace("plan_digest: true", "plan_digest: false")
    text = text.replace("runner_signed: true", "runner_signed: false")
    # The other worker builds the package of the environment `local` meanwhile.
    package = folder.parent / "runner.zip"
    variables.write_text(
        f"{text}\nrunner_auth: iam\nrunner_executor: codebuild\nrunner_package: {package}\n"
    )
    return folder


@pytest.fixture(scope="session")
def deploy(playbook: Playbooks, stack: Stack, inventory: Path) -> Deploy:
    """Run a playbook with this inventory and the credentials of its account."""

    def run(name: str, *options: str, **environment: str | None) -> Play:
        account = {**stack.environment(ACCOUNT), "RECORD_ENVIRONMENT": "iam", **environment}
        return playbook(name, "local", *options, inventory=str(inventory), **account)

    return run


@pytest.fixture(scope="session")
def deployed(deploy: Deploy) -> dict[str, Play]:
    """Bootstrap the account and deploy up to the runner."""
    plays = {}
    for name in ("bootstrap", "network", "database", "runner"):
        play = plays[name] = deploy(f"playbooks/{name}.yml")
        assert play.status == 0, play.output
    return plays
