"""The page and the comment: what they say, and that nothing in a result can become markup."""

import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from runner.cli import main
from runner.commands.report import report
from runner.errors import ConfigurationError
from runner.report import wording
from runner.report.markdown import LIMIT, code, markdown, plain
from runner.report.page import page
from runner.syntax import modes
from tests.runner.project import Project
from tests.runner.report import documents
from tests.runner.report.documents import Document

every_kind = pytest.mark.parametrize("make", documents.ALL.values(), ids=documents.ALL.keys())

HOSTILE = (
    "</style></pre></code><script>alert(1)</script><img src=x onerror=alert(1)>"
    "\"' onload=x &lt;b&gt; | `x` ``` [a](http://evil.example) @everyone #1"
    " \u202egnp.\x1b[31m\ud800"
)


class Parsed(HTMLParser):
    """The page's elements and its text, and whether every element is closed in order."""

    VOID = frozenset({"meta", "br", "wbr", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data


@every_kind
def test_page_is_whole_and_needs_nothing_else(make: Callable[[], Document]) -> None:
    parsed = Parsed(page(make()))
    names = {name for name, _ in parsed.tags}
    assert not names & {"script", "img", "link", "iframe", "object", "a", "form", "base"}
    attributes = {name for _, found in parsed.tags for name in found}
    assert not attributes & {"style", "src", "href", "onload", "onerror", "srcset"}
    policy = next(a["content"] for _, a in parsed.tags if a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


@every_kind
def test_page_and_comment_begin_with_the_outcome(make: Callable[[], Document]) -> None:
    found = wording.verdict(make())
    text = Parsed(page(make())).text
    assert found.word in text
    assert found.sentence in text
    assert markdown(make()).startswith(f"### {found.sign} {found.word} — {plain(found.sentence)}")


@every_kind
def test_nothing_in_a_result_becomes_markup(make: Callable[[], Document]) -> None:
    safe, hostile = make(), documents.everywhere(make(), HOSTILE)
    before = {name for name, _ in Parsed(page(safe)).tags}
    parsed = Parsed(page(hostile))
    assert {name for name, _ in parsed.tags} <= before | {"pre", "code", "small", "details", "ul"}
    assert "<script>alert(1)</script>" in parsed.text
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\ud800-\udfff]", parsed.text)
    assert "⟨U+202E⟩" in parsed.text


@every_kind
def test_result_with_missing_keys_still_reads(make: Callable[[], Document]) -> None:
    """Each key of each entry is left out in turn, as an older runner's result would."""

    def without(found: Any, key: str) -> Any:
        if isinstance(found, dict):
            return {k: without(v, key) for k, v in found.items() if k != key}
        return [without(v, key) for v in found] if isinstance(found, list) else found

    def keys(found: Any) -> set[str]:
        if isinstance(found, dict):
            return set(found) | {key for value in found.values() for key in keys(value)}
        return {key for value in found for key in keys(value)} if isinstance(found, list) else set()

    for key in keys(make()):
        Parsed(page(without(make(), key)))
        markdown(without(make(), key))


def test_run_shows_durations_locks_and_what_was_touched() -> None:
    parsed = Parsed(page(documents.run()))
    for text in (
        "2 migrations applied in 5.2 s", "shop on db.example", "2026-11-22 14:55:50 UTC",
        "120 ms", "done at attempt 3", "public.orders", "rewritten", "skipping",
        "ACCESS EXCLUSIVE: blocks reads and writes, for 37 ms", "no lock on what was there",
    ):  # fmt: skip
        assert text in parsed.text
    bars = [a for name, a in parsed.tags if name == "rect" and "x" in a]
    assert [(bar["class"], bar["x"], bar["width"]) for bar in bars] == [
        ("none", "0.0", "250.0"),
        ("lock3", "250.0", "750.0"),
    ]


def test_failure_shows_place_excerpt_cause_and_what_is_left() -> None:
    text = Parsed(page(documents.failed())).text
    for part in (
        "V005__b.sql failed; 1 migration done before, 1 not run", "sql/V005__b.sql:2:1", "55P03",
        "     2 | alter table orders add b int;\n       | ^", "blocked by pid 7",
        "What to do: end them, and run again", "✗ failed and rolled back", "○ not run",
    ):  # fmt: skip
        assert part in text


def test_proof_shows_what_is_not_proved_first() -> None:
    text = Parsed(page(documents.verified())).text
    places = [text.index(part) for part in ("Not proved (1)", "Irreversible (1)", "Proved (1)")]
    assert places == sorted(places)
    for part in ("- table public.orders.note: text", "the notes are gone", "up 20 ms, down 6 ms"):
        assert part in text


def test_plan_shows_risk_sizes_traffic_sql_and_digest() -> None:
    text = Parsed(page(documents.planned())).text
    for part in (
        "3 files to run, 1 would block others", "41 GB", "212 million rows", "912 writes/s",
        "5,400 reads/s", "the table is rewritten", "alter table orders add b int;", "gone is gone",
        "15 min 12 s", "--plan-digest sha256:9f9f", "statement by statement",
    ):  # fmt: skip
        assert part in text


def test_dry_run_shows_the_sql_of_what_is_pending() -> None:
    pending = [{"file": "V1__a.sql", "transactional": True, "why": "new", "action": "apply"}]
    data = [{"file": "V1__a.sql", "sql": "select 42;\n"}]
    dry = documents.document(outcome="planned", pending=pending, data=data)
    assert "select 42;" in Parsed(page(dry)).text
    assert "```sql\nselect 42;\n```" in markdown(dry)


def test_long_sql_is_cut_and_says_so() -> None:
    document = documents.planned()
    document["data"]["files"][0]["sql"] = "x" * 1_000_000
    assert "… 980,000 more characters" in page(document)


def test_lock_modes_are_the_commands_names() -> None:
    assert modes.words("ShareRowExclusiveLock") == "SHARE ROW EXCLUSIVE"
    assert modes.words("ACCESS EXCLUSIVE") == "ACCESS EXCLUSIVE"
    assert wording.blocks("AccessShareLock") == "blocks nothing but schema changes"
    assert modes.level("SomethingNewLock") == 3


def test_comment_is_bounded_and_says_so() -> None:
    document = documents.planned()
    document["data"]["files"] *= 500
    text = markdown(document)
    assert len(text) <= LIMIT
    assert "cut here" in text


def test_tables_of_the_comment_keep_their_shape_with_hostile_names() -> None:
    text = markdown(documents.everywhere(documents.run(), HOSTILE))
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows
    assert {line.count("|") for line in rows} == {5}
    assert "<script" not in text
    assert "@everyone" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("V1__a.sql", "`V1__a.sql`"),
        ("a`b", "<code>a\\`b</code>"),
        ("a|b", "<code>a&#124;b</code>"),
        ("a\nb", "`a b`"),
        ("", ""),
    ],
)
def test_code_of_the_comment(text: str, expected: str) -> None:
    assert code(text) == expected


def test_fence_is_longer_than_any_in_the_text() -> None:
    document = documents.planned()
    document["data"]["files"][0]["sql"] = "select '\n````\n';"
    assert "`````sql\nselect '\n````\n';\n`````" in markdown(document)


def test_report_of_a_real_run(project: Project, tmp_path: Path) -> None:
    project.file("V1__a.sql", "create table a (); create table b ();")
    project.file("V2__b.sql", "alter table a add column x bigint;\nselect 1/0;\n")
    source = tmp_path / "result.json"
    source.write_text(json.dumps(project.run("migrate")))
    output, comment = tmp_path / "out" / "r.html", tmp_path / "r.md"
    done = project.run("report", str(source), "-o", str(output), "--markdown", str(comment))
    assert done["data"] == [str(output), str(comment)]
    for text in (Parsed(output.read_text()).text, comment.read_text()):
        assert "division by zero" in text
        assert "22012" in text


def test_report_reads_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.TextIOWrapper(io.BytesIO(json.dumps(documents.run()).encode()))
    monkeypatch.setattr("sys.stdin", text)
    assert main(["report", "-", "-o", str(tmp_path / "r.html")]) == 0
    assert "2 migrations applied" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"result_version": 2}', "nonsense", "\ud800"])
def test_what_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    source = tmp_path / "result.json"
    source.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigurationError) as raised:
        report(str(source), "r", tmp_path / "r.html", None)
    assert "runner --json" in str(raised.value.fix)


def test_report_without_a_place_to_write_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        report("-", "r", None, None)
    assert "-o report.html" in str(raised.value.fix)
