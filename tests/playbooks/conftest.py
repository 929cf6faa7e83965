"""Provision the three environments once, exactly as committed, and let all tests look at them."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.stack import Stack
from tests.playbooks.plays import ACCOUNTS, ROOT, Play, Playbook

# More at a time would only wait for each other.
CORES = 2


@pytest.fixture(scope="session")
def playbook(stack: Stack) -> Playbook:
    """Run a playbook with an inventory as it is, endpoints and credentials in the environment."""

    def run(
        name: str, env: str, *options: str, inventory: str = "", **environment: str | None
    ) -> Play:
        variables = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ANSIBLE_"))},
            "ANSIBLE_HOME": str(stack.state.folder / "ansible"),
            "LC_ALL": "C.UTF-8",
            **stack.environment(ACCOUNTS[env]),
            **environment,
        }
        done = subprocess.run(
            [
                Path(sys.executable).with_name("ansible-playbook"),
                name,
                "-i",
                inventory or f"inventories/{env}",
                *options,
            ],
            cwd=ROOT,
            env={k: v for k, v in variables.items() if v is not None},
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return Play(done.returncode, done.stdout)

    return run


def _run(playbook: Playbook, *environments: str) -> dict[str, Play]:
    plays = {}
    for env in environments:
        for name in ("playbooks/bootstrap.yml", "site.yml"):
            play = plays[f"{env} {Path(name).stem}"] = playbook(name, env)
            assert play.status == 0, play.output
    return plays


@pytest.fixture(scope="session")
def first(playbook: Playbook) -> dict[str, Play]:
    """Bootstrap and deploy everything: dev before prod, which trusts it; local beside them."""
    with ThreadPoolExecutor(CORES) as pool:
        accounts = pool.submit(_run, playbook, "dev", "prod")
        local = pool.submit(_run, playbook, "local")
        return {**accounts.result(), **local.result()}


@pytest.fixture(scope="session")
def second(first: dict[str, Play], playbook: Playbook) -> dict[str, Play]:
    """Do it all again, and once more in check mode."""
    with ThreadPoolExecutor(CORES) as pool:
        one = pool.submit(_run, playbook, "dev", "prod")
        other = pool.submit(_run, playbook, "local")
        check = pool.submit(playbook, "site.yml", "local", "--check", "--diff")
        return {**one.result(), **other.result(), "local check": check.result()}


@pytest.fixture(scope="session")
def provisioned(first: dict[str, Play], stack: Stack) -> Stack:
    """Give the stack with the three environments in it."""
    return stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what destroys an environment after everything that looks at it."""
    items.sort(key=lambda item: "destroyed" in getattr(item, "fixturenames", ()))
