"""The whole line on one machine, as a stranger sees it: make local, one more file, a mistake."""

import os
import shutil
import subprocess
from pathlib import Path

import psycopg2
import pytest

from local.state import CLONE
from runner.embedded.ports import free_port
from runner.embedded.process import command_line

GOOD = "alter table customer_order add column status text not null default 'open';\n"
BAD = "alter table customer_order\n    add colum status text;\n"


class Line:
    """A copy of the clone, with ports of its own, and a home that must stay empty."""

    def __init__(self, folder, home):
        self.folder = folder
        self.home = home
        names = ("AWS", "PIPELINE", "DATABASE", "PSQL")
        ports = {f"LOCAL_{name}_PORT": str(free_port()) for name in names}
        self.environment = (
            os.environ | ports | {"HOME": str(home), "TMPDIR": str(home), "APPROVE": "yes"}
        )

    def make(self, target):
        return self.run("make", target)

    def run(self, *command, **environment):
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment | environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def query(self, statement):
        (pgpass,) = (self.folder / ".local" / "postgres").glob("*/pgpass")
        host, port, _, user, _ = pgpass.read_text().splitlines()[0].split(":", 4)
        connection = psycopg2.connect(
            host=host, port=port, user=user, passfile=pgpass, dbname="app"
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            rows = cursor.fetchall()
        connection.close()
        return rows


def copy_clone(folder):
    """Copy what git would hand out of the working tree; .venv is shared, as it is the same lock.

    It must be up to date, or the copy's make setup would install the copy into it.
    """
    subprocess.run(["make", "--silent", "setup"], cwd=CLONE, check=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CLONE, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (CLONE / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CLONE / name, folder / name)
    (folder / ".venv").symlink_to(CLONE / ".venv")
    (folder / ".cache").mkdir()
    (CLONE / ".cache/modules").mkdir(parents=True, exist_ok=True)
    (folder / ".cache/modules").symlink_to(CLONE / ".cache/modules")  # known by what it is made of


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    folder = tmp_path_factory.mktemp("line")
    copy_clone(folder)
    started = Line(folder, tmp_path_factory.mktemp("home"))
    yield started
    started.make("local-down")


def test_from_nothing_to_a_fixed_mistake_and_down_again(line):
    status, said = line.make("local")
    assert status == 0, said
    assert "done: 4 migrations" in said
    assert "make psql" in said
    history = line.query("select * from schema_version")

    mistake = line.folder / "sql" / "V004__add_order_status.sql"
    mistake.write_text(BAD)
    undo = line.folder / "sql" / "U004__add_order_status.sql"
    undo.write_text("alter table customer_order drop column status;\n")
    status, said = line.make("local")
    assert status != 0
    assert "V004__add_order_status.sql" in said
    assert "line 2" in said or ":2:" in said
    assert "^" in said
    assert "=== playbooks/sign.yml and playbooks/runner.yml" in said
    assert line.query("select * from schema_version") == history

    mistake.write_text(GOOD)
    status, said = line.run("make", "local", APPROVE="no")
    assert status != 0
    assert "local: " in said
    assert " 1 file to run" in said
    assert line.query("select * from schema_version") == history

    status, said = line.make("local")
    assert status == 0, said
    assert "done: 1 migration " in said
    assert line.query("select distinct status from customer_order") == []
    status, said = line.make("local")
    assert status == 0, said
    assert "=== site.yml: nothing has changed since it ran" in said
    assert "Local skipped" in said
    assert "Approve" not in said

    status, said = line.make("local-down")
    assert status == 0, said
    assert [
        command_line(int(path.name))
        for path in Path("/proc").glob("[0-9]*")
        if any(str(line.folder) in text for text in command_line(int(path.name)))
    ] == []
    assert list(line.home.iterdir()) == []
