"""`make local`: from nothing to a migrated database, and again whenever something changed."""

import hashlib
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from local.ansible import startup
from local.ansible.warm import warm
from local.codebuild.pipeline import run_pipeline
from local.errors import LocalError
from local.process.environment import basics
from local.stack import Stack
from local.state import ACCOUNT, CLONE
from runner.embedded.process import Process

INVENTORY = "inventories/local"
PIPELINE = "schema-migrations"
# What the actions that compare would tell: site.yml has just seen to it.
_SEEN_TO = {
    "LocalLook.CHANGED": "0",
    "LocalLook.CHANGES": "nothing would change",
    "LocalLook.REPORT_URL": "no build",
    "LocalDeploy.SNAPSHOT": "none",
}
# What the bootstrap's outcome depends on, besides the emulator being this very process.
_BOOTSTRAP_INPUTS = (
    "playbooks/bootstrap.yml", "playbooks/group_vars", "roles", "collections", INVENTORY,
)  # fmt: skip


def up(stack: Stack) -> bool:
    """Bring everything up to date with the working tree; return whether the migration is green.

    Raises:
        LocalError: a step failed; running again goes on from there.

    """
    began = time.monotonic()
    stack.state.make()
    with warm(environment(stack)) as python:  # it becomes so while the emulators start
        _say("emulated AWS")
        stack.up()
        bootstrap(stack, python)
        _say("site.yml")
        play(stack, "site.yml", python)
    _say("check, plan, approve and migrate, as the pipeline does")
    green = run_pipeline(
        stack,
        PIPELINE,
        account=ACCOUNT,
        source=CLONE,
        only={"Check", "Plan", "Approve", "Migrate"},
        known=_SEEN_TO,
        keep=CLONE / "reports",
    )
    _say(f"{'done' if green else 'FAILED'} after {time.monotonic() - began:.0f} s")
    if green:
        sys.stdout.write(_what_next(stack))
    return green


def bootstrap(stack: Stack, python: Path) -> None:
    """Run the bootstrap unless this emulator has had exactly this one."""
    stamp = stack.state.folder / "bootstrapped"
    wanted = _stamp(stack)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    _say("bootstrap.yml")
    play(stack, "playbooks/bootstrap.yml", python)
    stamp.write_text(wanted)


def play(stack: Stack, playbook: str, python: Path) -> None:
    """Run a playbook against the emulators, with nothing of the caller's AWS settings.

    Args:
        stack: the emulators.
        playbook: its path in the clone.
        python: what runs the modules.

    Raises:
        LocalError: it failed; Ansible has said why.

    """
    program = Path(sys.executable).parent / "ansible-playbook"
    done = subprocess.run(
        [program, playbook, "-i", INVENTORY],
        cwd=CLONE,
        env={**environment(stack), **warmed(python)},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise LocalError(f"{playbook} failed, as shown above; make local goes on once it is fixed")


def warmed(python: Path) -> dict[str, str]:
    """Return what makes Ansible cheaper to run, here and in builds: `python` runs its modules."""
    return startup(CLONE / ".cache" / "modules", python)


def environment(stack: Stack, account: str = ACCOUNT) -> dict[str, str]:
    """Return the environment of a playbook: the emulators, and every file inside the state."""
    inherited = basics(stack.state.home, stack.state.tmp)
    return {
        "UV_CACHE_DIR": str(CLONE / ".cache" / "uv"),
        **inherited,
        "PATH": f"{Path(sys.executable).parent}:{inherited['PATH']}",
        "ANSIBLE_HOME": str(stack.state.folder / "ansible"),
        "ANSIBLE_CONFIG": str(CLONE / "ansible.cfg"),
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "0",
        **({"ANSIBLE_FORCE_COLOR": "1"} if sys.stdout.isatty() else {}),
        **stack.environment(account),
    }


def _stamp(stack: Stack) -> str:
    """Return what identifies a bootstrap: its inputs, and the process that holds its outcome."""
    digest = hashlib.sha256(repr(Process.recorded(stack.state.pid_file("aws"))).encode())
    for path in _files():
        digest.update(f"\0{path.relative_to(CLONE)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _files() -> Iterator[Path]:
    for name in _BOOTSTRAP_INPUTS:
        path = CLONE / name
        found = [path] if path.is_file() else sorted(path.rglob("*"))
        yield from (file for file in found if file.is_file() and file.suffix != ".pyc")


def _what_next(stack: Stack) -> str:
    url, pgpass = stack.database()
    return f"""
What was done:  reports/migrate.html, plan.html, verify.html
The database:   make psql      or PGPASSFILE={shlex.quote(str(pgpass))} psql {shlex.quote(url)}
Add a file:     sql/V00N__what_it_does.sql (.venv/bin/runner new NAME makes one), then make local
Look at AWS:    eval "$(.venv/bin/python -m local env)", then any AWS client
Stop it all:    make local-down
"""


def _say(text: str) -> None:
    sys.stdout.write(f"\n=== {text}\n")
    sys.stdout.flush()
