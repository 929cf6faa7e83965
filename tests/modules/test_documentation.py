"""`ansible-doc` knows every module of the collection, with the options it shares with others."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path.stem
    for path in ROOT.glob("collections/ansible_collections/migrations/aws/plugins/modules/*.py")
    if path.stem != "__init__"
)


def test_ansible_doc_shows_every_module_with_its_author() -> None:
    names = [f"migrations.aws.{module}" for module in MODULES]
    command = [Path(sys.executable).with_name("ansible-doc"), "-t", "module", "--json", *names]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    shown = {name: entry["doc"] for name, entry in json.loads(done.stdout).items()}
    assert sorted(shown) == names
    assert all(doc["author"] and doc["options"] for doc in shown.values())
