"""Whatever comes in from outside ends in an answer or in an error of ours: never in another one."""

import contextlib
import copy
import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runner import handler
from runner.commands.repair import _differences
from runner.commands.report import report
from runner.commands.status import entries
from runner.commands.table import COMMANDS
from runner.engine.plan import Policy, check, late, plan_migrate, plan_rollback
from runner.errors import RunnerError
from runner.files.folder import read_folder
from runner.history.table import Row, in_schema
from runner.history.write import Writer
from tests.runner.report.documents import document, entry, error, task
from tests.runner.schema import conforming

FEW = settings(
    max_examples=50, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
ALIASES = ["read", "live", "admin", "", "$LATEST"]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
odd_texts = st.text() | st.sampled_from(["", "\0", "\x1b[2J", "\ud800", "R__", "3", "1" * 5000])


def changed(plain: Any, draw: Callable[[Any], Any]) -> Any:
    """Return a value with one place of it replaced by anything, dropped or added to."""
    value = copy.deepcopy(plain)
    here: Any = value
    while isinstance(here, dict | list) and here:
        key = draw(st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here))))
        if draw(st.booleans()) or not (isinstance(here[key], dict | list) and here[key]):
            if isinstance(here, dict) and draw(st.booleans()):
                del here[key]
            else:
                here[key] = draw(json_values)
            return value
        here = here[key]
    return draw(json_values)


@st.composite
def events(draw: Callable[[Any], Any]) -> Any:
    """Give an event that is nearly one, or anything."""
    command = draw(st.sampled_from(sorted(COMMANDS)))
    names = [option.name for option in COMMANDS[command].options] or ["x"]
    options = draw(st.dictionaries(st.sampled_from(names), json_values | odd_texts, max_size=3))
    plain = {"command": command, "run_id": draw(odd_texts | st.just("r")), "options": options,
             "files": draw(json_values)}  # fmt: skip
    return draw(st.sampled_from([plain, {**plain, "files": None}, changed(plain, draw)]))


class Context:
    """What Lambda hands to a handler."""

    def __init__(self, alias: str) -> None:
        self.invoked_function_arn = f"arn:aws:lambda:eu-central-1:1:function:f:{alias}"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@FEW
@given(event=events() | json_values, alias=st.sampled_from(ALIASES))
def test_any_event_is_answered_by_a_result(
    event: Any, alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE_URL", "PGHOST", "PGDATABASE", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(handler.RunFailed) as raised:
        handler.handle(event, Context(alias))
    assert conforming(json.loads(str(raised.value)))["error"]


RAN = document(
    applied=[entry("V4__a.sql", locks=[{"relation": "public.a", "mode": "ShareLock"}])],
    pending=[task("V5__b.sql")], warnings=["w"], error=error("unreachable", "no"),
)  # fmt: skip
COMMAND_DATA = st.sampled_from(["migrate", "plan", "verify", "lint", "status", "history", "x"])


@st.composite
def documents(draw: Callable[[Any], Any]) -> Any:
    """Give a result that is nearly one, of some command."""
    return changed({**RAN, "command": draw(COMMAND_DATA), "data": draw(json_values)}, draw)


@FEW
@given(found=documents() | json_values)
def test_any_document_is_reported_or_refused(found: Any, tmp_path: Path) -> None:
    source = tmp_path / "result.json"
    source.write_text(json.dumps(found))
    for way in ("output", "comment", "told", "scan"):
        with contextlib.suppress(RunnerError):
            report(str(source), "r", **{way: tmp_path / way})  # type: ignore[arg-type]


names = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["V", "U", "R", "v", ""]),
    st.sampled_from(["1", "1.0", "001", "1_2", "²", "9" * 5000, ""]),
    st.sampled_from(["__", "_", ""]),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=8),
).map(lambda name: name[:60])
texts = st.sampled_from([b"", b"select 1", b"\xff", b"\xef\xbb\xbf-- runner: no-transaction"])
heads = st.text(max_size=12).map(lambda text: f"-- runner: {text}".encode())


@FEW
@given(files=st.dictionaries(names.map("{}.sql".format) | names, texts | heads, max_size=4))
@example({"V1__a.sql": b"", "R__\ufb01.sql": b"", "R__fi.sql": b""})
def test_any_folder_is_read_or_refused(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            with contextlib.suppress(OSError, ValueError):  # what no file can be called
                Path(folder, name).write_bytes(text)
        with contextlib.suppress(RunnerError):
            read_folder(Path(folder))


AT = datetime(2026, 11, 26, tzinfo=UTC)
versions = st.sampled_from(["1", "2", "3", "2.1", "R__v", "R__gone"]) | odd_texts
digests = st.sampled_from(["sha256:0", "sha256:1"]) | st.none() | odd_texts
doubts = st.none() | json_values | st.just({"digest": "d", "text": "t", "before": None})
steps = st.lists(
    st.sampled_from(["d", "d {}", 'd {"settings": {}, "temporary": []}', "d [", "d 1"]) | odd_texts,
    max_size=3,
)
rows = st.tuples(
    versions, st.sampled_from(["versioned", "repeatable", "baseline"]) | odd_texts,
    st.sampled_from(["applied", "applying", "undoing"]) | odd_texts, odd_texts,
    st.none() | odd_texts, digests, st.integers(), st.just(AT), odd_texts, odd_texts,
    st.none() | st.integers(), steps, doubts,
)  # fmt: skip


def known(values: tuple[Any, ...]) -> Row | None:
    try:
        return Row.of(values)
    except ValueError:  # what `read` says in our words
        return None


@FEW
@given(
    found=st.lists(rows, max_size=5),
    target=st.none() | st.sampled_from([(1,), (2,), (9,)]),
    count=st.none() | st.integers(1, 3),
)
def test_any_history_is_planned_or_refused(
    found: list[tuple[Any, ...]], target: Any, count: Any, tmp_path: Path
) -> None:
    for name in ("V1__a.sql", "V2__b.sql", "U2__b.sql", "V3__c.sql", "R__v.sql"):
        tmp_path.joinpath(name).write_text("select 1")
    folder = read_folder(tmp_path)
    history = [row for values in found if (row := known(values))]
    check(folder, history)
    entries(folder, history)
    late(folder, history, lambda: {"1"})
    list(_differences(Writer(None, in_schema("public"), repr), folder, history))  # type: ignore[arg-type]
    with contextlib.suppress(RunnerError):
        plan_migrate(folder, history, policy=Policy(target=target))
    with contextlib.suppress(RunnerError):
        plan_rollback(folder, history, to=target, steps=count)
