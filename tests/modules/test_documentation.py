"""`ansible-doc` knows every module of the collection, and why there is one."""

import json
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COLLECTION = ROOT / "collections/ansible_collections/migrations/aws"
MODULES = sorted(
    path.stem for path in (COLLECTION / "plugins/modules").glob("*.py") if path.stem != "__init__"
)
# What a module says of those that might be used in its place.
REASON = re.compile(r"Instead of M\(|No module of the AWS collections ")


@pytest.fixture(scope="module")
def shown() -> dict[str, dict[str, Any]]:
    """Return the documentation of every module, by the module's name."""
    names = [f"migrations.aws.{module}" for module in MODULES]
    command = [Path(sys.executable).with_name("ansible-doc"), "-t", "module", "--json", *names]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    return {name.rpartition(".")[2]: entry["doc"] for name, entry in found.items()}


def test_ansible_doc_shows_every_module_with_its_author(shown: dict[str, dict[str, Any]]) -> None:
    assert sorted(shown) == MODULES
    assert all(doc["author"] and doc["options"] for doc in shown.values())


def test_every_module_takes_the_connections_options_but_the_one_that_asks_nobody(
    shown: dict[str, dict[str, Any]],
) -> None:
    connected = {"access_key", "region", "profile", "endpoint_url"}
    assert [m for m in MODULES if not connected <= shown[m]["options"].keys()] == ["lambda_zip"]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_what_the_stock_ones_lack(
    shown: dict[str, dict[str, Any]], module: str
) -> None:
    reasons = [part for part in shown[module]["description"] if REASON.match(part)]
    assert len(reasons) == 1
    named = re.findall(r"M\((\w+)\.(\w+)\.(\w+)\)", reasons[0])
    assert named or reasons[0].startswith("No module")
    for namespace, collection, name in named:
        package = resources.files(f"ansible_collections.{namespace}.{collection}")
        assert package.joinpath(f"plugins/modules/{name}.py").is_file(), name


def test_the_collections_readme_names_every_module() -> None:
    text = (COLLECTION / "README.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == MODULES
