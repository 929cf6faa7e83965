"""What is set up stays in the clone, and is verified with the machine's own authorities."""

import os
import subprocess
import sys
from pathlib import Path

from local.state import CLONE

NAMES = ("UV_SYSTEM_CERTS", "PIP_CERT")


def exported(**environment):
    """What make hands to pip and uv, with nothing about certificates but these variables."""
    about = (*NAMES, "SSL_CERT_FILE", "MAKEFLAGS")
    inherited = {name: value for name, value in os.environ.items() if name not in about}
    show = f"show: ; @echo '{' '.join(f'$({name})' for name in NAMES)}'"
    done = subprocess.run(
        ["make", "-s", f"--eval={show}", "show"], cwd=CLONE, env=inherited | environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.split()


def test_an_authority_that_the_environment_names_counts(tmp_path):
    bundle = str(tmp_path / "company.pem")
    assert exported(SSL_CERT_FILE=bundle) == ["true", bundle]


def test_what_the_person_says_of_pip_and_uv_wins(tmp_path):
    assert exported(SSL_CERT_FILE="a.pem", PIP_CERT="b.pem", UV_SYSTEM_CERTS="false") == [
        "false", "b.pem",
    ]  # fmt: skip


def test_ansible_writes_into_the_clone_only(tmp_path):
    ansible = Path(sys.executable).with_name("ansible")
    done = subprocess.run(
        [ansible, "local", "-i", "inventories/local", "--playbook-dir", "playbooks", "-vvv",
         "-m", "ansible.builtin.command", "-a", "true"],
        cwd=CLONE, env={
            "PATH": f"{ansible.parent}:{os.defpath}",
            "HOME": str(tmp_path),
            "ANSIBLE_PIPELINING": "false",  # as for a module that needs its files
        },
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    made = [line for line in done.stdout.splitlines() if "mkdir -p" in line or " PUT " in line]
    assert made
    assert all(f"{CLONE}/.ansible/tmp" in line and "~" not in line for line in made)
    assert list(tmp_path.iterdir()) == []
