"""The page and the comment: what they say, and that nothing in a result can become markup."""

import io
import json
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from runner.cli import main
from runner.commands.report import report
from runner.commands.table import COMMANDS
from runner.errors import ConfigurationError
from runner.report import wording
from runner.report.border import refused
from runner.report.markdown import LIMIT, code, markdown, plain
from runner.report.page import page
from runner.syntax import modes
from tests.runner.project import Project
from tests.runner.report import documents
from tests.runner.report.documents import Document
from tests.runner.schema import conforming

every_kind = pytest.mark.parametrize("make", documents.ALL.values(), ids=documents.ALL.keys())

HOSTILE = (
    "</style></pre></code><script>alert(1)</script><img src=x onerror=alert(1)>"
    "\"' onload=x &lt;b&gt; | `x` ``` [a](http://evil.example) @everyone #1"
    " \u202egnp.\x1b[31m\ud800"
)


class Parsed(HTMLParser):
    """The page's elements and its text, and whether every element is closed in order."""

    VOID = frozenset({"meta", "br", "wbr", "rect", "path", "input"})

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


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (documents.undoing, ("Would block", "3 files to undo, 1 would block others")),
        (documents.undone, ("Done", "1 migration undone in 5.2 s")),
        (documents.drifted, ("Drift", "the schema was changed by other means")),
        (documents.unreachable, ("Failed", "cannot connect to db.example:5432")),
        (documents.made, ("Written", "2 files")),
    ],
)
def test_each_command_has_a_verdict_of_its_own(
    make: Callable[[], Document], said: tuple[str, str]
) -> None:
    assert wording.verdict(make())[2:] == said


@every_kind
def test_nothing_in_a_result_becomes_markup(make: Callable[[], Document]) -> None:
    safe, hostile = make(), documents.everywhere(make(), HOSTILE)
    before = {name for name, _ in Parsed(page(safe)).tags}
    parsed = Parsed(page(hostile))
    assert {name for name, _ in parsed.tags} <= before | {
        "pre",
        "code",
        "small",
        "details",
        "ul",
        "wbr",
    }
    assert "<script>alert(1)</script>" in parsed.text
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\ud800-\udfff]", parsed.text)
    assert "⟨U+202E⟩" in parsed.text


def without(found: Any, key: str) -> Any:
    """Return a copy of a JSON value in which no object has a key."""
    if isinstance(found, dict):
        return {name: without(value, key) for name, value in found.items() if name != key}
    return [without(value, key) for value in found] if isinstance(found, list) else found


def keys(found: Any) -> set[str]:
    if isinstance(found, dict):
        return set(found) | {key for value in found.values() for key in keys(value)}
    return {key for value in found for key in keys(value)} if isinstance(found, list) else set()


def places(found: Any) -> list[tuple[Any, Any]]:
    """Return every object and list of a JSON value with each of its keys or indexes."""
    if not isinstance(found, dict | list):
        return []
    inside = list(found.items() if isinstance(found, dict) else enumerate(found))
    return [place for key, value in inside for place in [(found, key), *places(value)]]


@every_kind
def test_border_and_reports_agree_on_what_is_needed(make: Callable[[], Document]) -> None:
    """Each key is left out in turn: it is refused with its place, or everything still reads."""
    needed = set()
    for key in keys(make()):
        found = without(make(), key)
        if problem := refused(found):
            assert problem.endswith((f": {key} is missing", ": not 1"))
            needed.add(key)
        else:
            Parsed(page(found))
            markdown(found)
            COMMANDS[found["command"]].text(found)
    assert {"run_id", "target", "applied", "data", "error"} <= needed


@every_kind
@pytest.mark.parametrize(
    "wrong", [[], "x", True, 1e999, 10**400], ids=lambda wrong: repr(wrong)[:9]
)
def test_value_of_another_type_is_refused_or_reads(
    make: Callable[[], Document], wrong: object
) -> None:
    """Each value of the document in turn becomes another one."""
    for index in range(len(places(make()))):
        document = make()
        found, key = places(document)[index]
        found[key] = wrong
        if not refused(document):
            Parsed(page(document))
            markdown(document)
            COMMANDS.get(document["command"], COMMANDS["migrate"]).text(document)


def test_fleet_of_any_size_is_drawn_whole_and_its_failures_are_told() -> None:
    """A square for each target, whatever a text may be long; those that failed come first."""
    found = documents.fleet()
    failed = found["data"]["members"][1]
    more = [documents.member(f"tenant_{n}", "current") for n in range(5, 10_001)]
    found["data"]["members"] += more
    text = page(found)
    assert text.count("h8v8h-8z") == 10_000
    parsed = Parsed(text).text
    assert parsed.index(failed["error"]) < parsed.index("tenant_1\n")
    assert "tenant_10000" in parsed
    assert len(text) < 1_000_000


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"target": {"port": 5432}}, "$.target.port: not a text"),
        ({"exit_code": True}, "$.exit_code: not a whole number"),
        ({"duration_ms": 1.5}, "$.duration_ms: not a whole number"),
        ({"outcome": "splendid"}, "$.outcome: not one of applied, noop, planned, incomplete"),
        ({"applied": [{}]}, "$.applied[0]: action is missing"),
        ({"data": [{"file": "V1__a.sql"}]}, "$.data[0]: sql is missing"),
        ({"error": {"kind": "lock", "message": None}}, "$.error.message: not a text"),
    ],
)
def test_misfit_is_said_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Document, expected: str
) -> None:
    source = tmp_path / "result.json"
    source.write_text(json.dumps({**documents.document(), **change}))
    assert main(["report", str(source)]) == 2
    assert f"{source} is no result of version 1: {expected}" in capsys.readouterr().out


def test_number_that_is_none_is_refused() -> None:
    document = documents.planned()
    document["data"]["longest_transaction"]["seconds"] = float("nan")
    assert refused(document) == "$.data.longest_transaction.seconds: not a number"


@every_kind
def test_documents_are_results_that_can_be(make: Callable[[], Document]) -> None:
    assert refused(conforming(make())) is None


def test_data_of_another_command_is_refused() -> None:
    document = {**documents.status(), "command": "history"}
    assert refused(document) == "$.data[0]: at is missing"


@pytest.mark.parametrize(
    ("make", "word", "sentence", "rows"),
    [
        (documents.status, "Pending", "1 applied, 1 pending", ["V2__", "no U file", "migrator"]),
        (documents.history, "History", "2 entries", ["repair", "2026-11-22 14:55:50 UTC", "run-1"]),
        (documents.linted, "Failed", "1 finding", ["drop-column", "drop it in a later release"]),
        (documents.validated, "Fine", "every file is fine", []),
        (documents.repaired, "Done", "1 change of the history in 5.2 s", ["forget version 3"]),
        (documents.unrepaired, "Planned", "nothing was written", ["forget version 3"]),
    ],
)
def test_each_command_says_what_it_found(
    make: Callable[[], Document], word: str, sentence: str, rows: list[str]
) -> None:
    text = Parsed(page(make())).text
    comment = markdown(make()).replace("\\_", "_")
    assert "Nothing to do" not in text + comment
    for part in (word, sentence):
        assert part in text
        assert part in comment
    for part in rows:
        assert part in text
        assert part in comment or part in {"V2__", "no U file"}


def test_status_says_that_files_and_history_differ_or_are_one() -> None:
    differs = documents.document(
        command="status",
        data=[documents.standing("1", "applied, file changed")],
        warnings=["V1 has changed"],
    )
    assert wording.verdict(differs).word == "Differs"
    whole = documents.document(command="status", data=[documents.standing("1", "applied")])
    assert wording.verdict(whole)[2:] == ("Up to date", "1 applied")


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
        "5,400 reads/s", "the table is rewritten", "alter table orders add b int", "gone is gone",
        "-- the app of 3.2 reads it",
        "15 min 12 s", "--plan-digest sha256:9f9f", "statement by statement",
    ):  # fmt: skip
        assert part in text


def test_safe_way_is_shown_of_risky_statements_on_what_is_there() -> None:
    found = documents.planned()
    for file, table in zip(
        found["data"]["files"], ("public.orders", "elsewhere", "public.orders"), strict=True
    ):
        file["sql"] = f"create index i on {table} (b);\n"
    text = Parsed(page(found)).text
    assert text.count("The safe way") == 1
    assert "create index concurrently i on public.orders (b);" in text


def test_safe_way_of_another_type_is_shown_only_where_the_table_is_rewritten() -> None:
    found = documents.planned()
    file = found["data"]["files"][0]
    file["sql"] = "alter table public.orders alter note type varchar(100);\n"
    assert "The safe way" in Parsed(page(found)).text
    file["locks"][0]["rewrite"] = False
    found["data"]["files"][1]["sql"] = ""
    assert "The safe way" not in Parsed(page(found)).text


def test_dry_run_shows_the_sql_of_what_is_pending() -> None:
    pending = [documents.task("V1__a.sql")]
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
        report(str(source), "r", output=tmp_path / "r.html")
    assert "runner --json" in str(raised.value.fix)


def test_report_without_a_place_to_write_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        report("-", "r")
    assert "-o report.html" in str(raised.value.fix)


def test_page_is_written_beside_the_result(tmp_path: Path) -> None:
    (tmp_path / "st.json").write_text(json.dumps(documents.status()))
    assert main(["report", str(tmp_path / "st.json")]) == 0
    assert "1 applied, 1 pending" in (tmp_path / "st.html").read_text()


def test_page_never_takes_the_place_of_the_result(tmp_path: Path) -> None:
    (tmp_path / "st.html").write_text(json.dumps(documents.status()))
    with pytest.raises(ConfigurationError):
        report(str(tmp_path / "st.html"), "r")


def test_place_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.json").write_text(json.dumps(documents.run()))
    assert main(["report", str(tmp_path / "r.json"), "-o", str(tmp_path)]) == 2
    assert f"{tmp_path} cannot be written: Is a directory" in capsys.readouterr().out


def test_without_jinja_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The comment needs no extra."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "runner.report.page")
    (tmp_path / "r.json").write_text(json.dumps(documents.run()))
    assert main(["report", str(tmp_path / "r.json"), "--markdown", str(tmp_path / "r.md")]) == 0
    assert main(["report", str(tmp_path / "r.json")]) == 2
    assert "pip install 'schema-migrations[report]'" in capsys.readouterr().out


def test_sql_on_the_page_is_the_files_text_in_colour() -> None:
    found = documents.planned()
    sql = "\n-- why: <a & b>\nselect 'x' || \"y\", 1.5;\n"
    found["data"]["files"][0]["sql"] = sql
    text = page(found)
    shown = text.split("<pre>")[2].split("</pre>")[0]
    assert Parsed(f"<pre>{shown}</pre>").text == f"\n{sql}"  # HTML drops the first line end
    assert '<span class="comment">-- why: &lt;a &amp; b&gt;\n</span>' in shown
