"""What a migration costs does not grow with how many there are: counted, not timed."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from runner.database.session import Session
from runner.engine import batch
from tests.runner.project import Project

FEW, MANY = 100, 400

pytestmark = [pytest.mark.scale, pytest.mark.since(15)]  # its sessions tell their counts


class Cost(NamedTuple):
    """What a run sent and what the server read of the history for it."""

    messages: int
    rows: int


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Gather the messages that sessions send."""
    messages: list[str] = []
    original = Session.run

    def run(self: Session, sql: str, values: Any = None) -> Any:
        messages.append(sql)
        return original(self, sql, values)

    monkeypatch.setattr(Session, "run", run)
    # A busy machine makes messages smaller, for whoever watches; it is no part of what is counted.
    monkeypatch.setattr(batch, "_LONG", float("inf"))
    return iter([messages])


@pytest.fixture
def cost(project: Project, sent: Iterator[list[str]]) -> Callable[..., Cost]:
    """Give a function that runs a command and says what that took."""
    messages = next(sent)

    def read() -> int:
        """Return how many rows of the history's tables the server has read so far."""
        project.query("select pg_stat_force_next_flush()")
        return project.query(
            "select coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::int"
            " from pg_stat_user_tables where relname ~ '^schema_version(_log)?$'"
        )[0][0]

    def run(*command: str) -> Cost:
        before, rows = len(messages), read()
        assert project.run(*command)["error"] is None
        return Cost(len(messages) - before, read() - rows)

    return run


def write(project: Project, first: int, last: int) -> None:
    for number in range(first, last + 1):
        project.file(f"V{number:04}__t{number}.sql", f"create table t{number} (id int);\n")
        project.file(f"U{number:04}__t{number}.sql", f"drop table t{number};\n")


def test_messages_of_a_run_are_far_fewer_than_its_migrations(
    project: Project, cost: Callable[..., Cost]
) -> None:
    write(project, 1, MANY)
    assert cost("migrate").messages < MANY / 10
    assert cost("rollback", "--yes", "--to", "0").messages < MANY / 10


def test_rows_that_are_read_for_a_migration_do_not_grow_with_the_history(
    project: Project, cost: Callable[..., Cost]
) -> None:
    write(project, 1, FEW)
    first = cost("migrate").rows
    write(project, FEW + 1, MANY)
    rest = cost("migrate").rows - FEW  # the history itself is read once
    assert rest / (MANY - FEW) <= first / FEW * 1.2


def test_a_run_with_nothing_to_do_reads_the_history_once(
    project: Project, cost: Callable[..., Cost]
) -> None:
    write(project, 1, FEW)
    cost("migrate")
    for command in (["migrate"], ["status"], ["plan"]):
        found = cost(*command)
        assert found.rows <= FEW, command
        assert found.messages <= 6, command
