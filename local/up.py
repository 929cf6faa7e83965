"""`make local`: from nothing to a migrated database, and again whenever something changed."""

import dataclasses
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from local.ansible import startup
from local.ansible.warm import warm
from local.codebuild.pipeline import ask, run_pipeline
from local.deployed import Deployed, aws_by_now, forget
from local.errors import LocalError
from local.process.environment import basics
from local.stack import Stack
from local.state import ACCOUNT, CLONE

INVENTORY = "inventories/local"
PIPELINE = "schema-migrations"
# What the actions that compare would tell: the playbooks have seen to it.
_SEEN_TO = {
    "LocalLook.CHANGED": "0",
    "LocalLook.CHANGES": "nothing would change",
    "LocalLook.REPORT_URL": "no build",
    "LocalDeploy.SNAPSHOT": "none",
}


def up(stack: Stack) -> bool:
    """Bring everything up to date with the working tree; return whether the migration is green.

    Raises:
        LocalError: a step failed; the next call begins with all of the playbooks.

    """
    began = time.monotonic()
    stack.state.make()
    _say("emulated AWS")
    stack.up()
    wanted = Deployed.wanted(stack, CLONE, INVENTORY)
    played = deploy(stack, wanted)
    _say("check, plan, approve and migrate, as the pipeline does")
    asking = _Asking(stack)
    green = run_pipeline(
        stack,
        PIPELINE,
        account=ACCOUNT,
        source=CLONE,
        only={"Check", "Plan", "Approve", "Migrate"},
        known=_SEEN_TO,
        approve=asking,
        keep=CLONE / "reports",
    )
    # Red without a playbook: what was not played may be what is wrong.
    if (green or played) and not asking.changed:
        wanted.remember(stack)
    _say(f"{'done' if green else 'FAILED'} after {time.monotonic() - began:.0f} s")
    if green:
        sys.stdout.write(_what_next(stack))
    return green


@dataclasses.dataclass
class _Asking:
    """Asks a person, and sees whether anybody changes AWS meanwhile."""

    stack: Stack
    changed: bool = False

    def __call__(self, question: str) -> bool:
        before = aws_by_now(self.stack)
        answer = ask(question)
        self.changed = self.changed or aws_by_now(self.stack) != before
        return answer


def deploy(stack: Stack, wanted: Deployed) -> bool:
    """Run of the playbooks what has changed since they ran; return whether any had to.

    Args:
        stack: the emulators.
        wanted: what they are to have run for; they are not known to have until it is remembered.

    Raises:
        LocalError: one failed; the next call runs all of them.

    """
    plays = wanted.plays(Deployed.remembered(stack))
    forget(stack)
    if not plays:
        _say("site.yml: nothing has changed since it ran")
        return False
    with warm(environment(stack)) as python:  # it becomes so while Ansible starts
        for playbooks in plays:
            _say(" and ".join(playbooks))
            play(stack, playbooks, python)
    return True


def play(stack: Stack, playbooks: Sequence[str], python: Path) -> None:
    """Run playbooks against the emulators, with nothing of the caller's AWS settings.

    Args:
        stack: the emulators.
        playbooks: their paths in the clone; each has what those before it have found.
        python: what runs the modules.

    Raises:
        LocalError: one failed; Ansible has said why.

    """
    program = Path(sys.executable).parent / "ansible-playbook"
    done = subprocess.run(
        [program, *playbooks, "-i", INVENTORY],
        cwd=CLONE,
        env={**environment(stack), **warmed(python)},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        names = " and ".join(playbooks)
        raise LocalError(f"{names} failed, as shown above: fix it, and run make local again")


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
