"""What a person reads: tables, previews, exit codes; what a machine reads: JUnit."""

import contextlib
import io
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import cli
from runner.cli import main
from runner.commands.table import COMMANDS
from runner.engine.failures import excerpt
from runner.errors import EXIT_CODES
from runner.files.pieces import Near
from runner.report import highlight, junit
from runner.report.columns import columns
from runner.report.preview import preview
from runner.report.text import Screen
from tests.runner.project import Project
from tests.runner.report import documents


def test_failure_reads_from_what_to_where_to_why_to_what_to_do(project: Project) -> None:
    path = project.file("V1__a.sql", "create table a ();\ncreate tabel b ();\n")
    project.file("V2__b.sql", "select 1")
    code, out, _ = project.text("migrate", "--run-id", "r7")
    assert code == 3
    assert out.splitlines() == [
        "not run: V2__b.sql",
        f'{path}:2:8: syntax error at or near "tabel" (SQLSTATE 42601)',
        "     1 | create table a ();",
        "     2 | create tabel b ();",
        "       |        ^",
        "what to do: correct the file and run again",
        f"failed (exit code 3): 1 not run; {out.split('; ')[-2]}; run r7",
    ]


def test_success_is_a_table(project: Project) -> None:
    project.file("V1__create_a.sql", "create table a ()")
    code, out, _ = project.text("migrate")
    assert code == 0
    assert out.splitlines()[0].split() == ["version", "description", "done", "time"]
    assert out.splitlines()[2].split()[:4] == ["1", "create", "a", "applied"]


def test_dry_run_shows_each_statement_and_why(project: Project) -> None:
    project.file("V1__a.sql", "create table a (); -- c\ncreate table b ();")
    out = project.text("migrate", "--dry-run")[1].splitlines()
    assert out[0] == "-- apply V1__a.sql (new), in a transaction"
    assert out[1:5] == ["-- 1", "create table a (); -- c", "-- 2", "create table b ();"]


def test_preview_is_bounded() -> None:
    assert preview("select '" + "x" * 5000 + "'")[-1] == "-- … 3,009 more characters"
    assert preview("select 1;" * 60)[-1] == "-- … and 10 more statements"
    assert preview("") == ["-- no statement"]
    assert preview("copy t from stdin;\na\n\\.\n")[-1].endswith("characters of data")


def test_preview_is_the_files_text_with_the_reasons() -> None:
    """What a reviewer approves has the comments before a statement, in it and after it."""
    text = (
        "\n-- why\n-- more\nselect /* the first */ 1 -- not 2\n;  -- done\n\n"
        "/* a */select 2\n-- end"
    )
    assert preview(text) == [
        "-- 1", "-- why", "-- more", "select /* the first */ 1 -- not 2", ";  -- done",
        "-- 2", "/* a */", "select 2", "-- end",
    ]  # fmt: skip
    assert preview("-- nothing") == ["-- nothing", "-- no statement"]
    assert preview("copy t from stdin; -- c\na\n\\.\nselect 1;") == [
        "-- 1", "copy t from stdin;", "-- and 2 characters of data", "-- 2", "select 1;",
    ]  # fmt: skip


def test_long_comment_does_not_hide_the_statement() -> None:
    assert preview("--" + "x" * 5000 + "\ndrop table a;")[-1] == "drop table a;"


def test_preview_in_colour_is_the_same_text() -> None:
    text = "-- why\nalter table a add b int default 7; -- '\nselect 'x', $$ -- y $$, \"-- z\";"
    plain, colour = preview(text), preview(text, colour=True)
    assert colour != plain
    assert [re.sub("\x1b\\[[0-9]*m", "", line) for line in colour] == plain
    assert colour[1] == "\x1b[36m-- why\x1b[0m"


def test_preview_cannot_paint_or_turn_the_terminal() -> None:
    hostile = "select 1; -- \x1b[2J\u202e\rdrop table a;\n"
    for colour in (False, True):
        shown = "\n".join(preview(hostile, colour=colour))
        assert not re.search("\x1b\\[2J|\r|\u202e", shown)


@pytest.mark.parametrize(
    ("sql", "kind", "part"),
    [
        ("select 1 # 2", "comment", "#"),  # an operator to PostgreSQL, a comment to sqlparse
        (r"select 'a\', drop, 'b'", "string", "drop"),  # no escape to PostgreSQL
        ("select 1 /* /* */ drop */", "string", "drop"),
        ("select $$ -- drop $$", "comment", "drop"),
        ("select 1 -- drop", "keyword", "drop"),
    ],
)
def test_no_colour_says_what_postgresql_does_not(sql: str, kind: str, part: str) -> None:
    found = highlight.pieces(sql)
    assert "".join(text for _, text in found) == sql
    assert not [text for name, text in found if name == kind and part in text]


def test_colours_are_those_of_the_tokens() -> None:
    found = highlight.pieces("-- why\nselect 'x', 7 from a order by 1;")
    kinds = {text: kind for kind, text in found}
    assert kinds["-- why\n"] == "comment"
    assert (kinds["select"], kinds["order by"]) == ("keyword", "keyword")
    assert (kinds["'x'"], kinds["7"]) == ("string", "number")


@given(st.text(alphabet="ab -#/*'\"$;\\\n(1", max_size=60))
def test_colours_never_change_a_text(text: str) -> None:
    assert "".join(part for _, part in highlight.pieces(text)) == text


def test_long_text_is_not_coloured() -> None:
    text = "select 1;\n" * highlight.LIMIT
    assert highlight.pieces(text) == [("", text)]


def test_a_run_imports_nothing_that_it_can_do_without(project: Project) -> None:
    """Nor does the Lambda's handler, whose cold start it would cost."""
    project.file("V1__a.sql", "create table a ()")
    code = (
        "import sys, runner.handler;"
        "late = {'runner.settings', 'runner.commands.member', 'runner.engine.migrate'};"
        "assert not late & set(sys.modules);"
        "from runner.cli import main;"
        f"assert main({[*project._target(), 'migrate', '--dry-run']}) == 0;"
        f"assert main({[*project._target(), 'migrate']}) == 0;"
        "spared = {'sqlparse', 'jinja2', 'xml', 'tomllib', 'shtab', 'psutil', 'difflib'};"
        "print(sorted(spared & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=project.folder, env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"


def test_status_tells_where_the_database_stands(project: Project) -> None:
    project.file("V1__a.sql", "create table a ()")
    project.run("migrate")
    project.file("V2__b.sql", "create table b ()")
    document = project.run("status")
    states = [(entry["version"], entry["state"]) for entry in document["data"]]
    assert states == [("1", "applied"), ("2", "pending")]
    assert "1 applied, 1 pending" in project.text("status")[1]


def test_status_check_fails_until_everything_is_applied(project: Project) -> None:
    project.file("V1__a.sql", "create table a ()")
    assert project.run("status", "--check")["exit_code"] == 8
    project.run("migrate")
    assert project.run("status", "--check")["exit_code"] == 0
    project.file("V1__a.sql", "create table other ()")
    assert project.run("status", "--check")["exit_code"] == 6


def test_validate_finds_every_problem_offline(project: Project) -> None:
    project.file("V1__a.sql", "create table a ();\ncommit;\n")
    project.file("V2__b.sql", "create index concurrently i on a (x);\nselect 1;\n")
    project.url = "postgresql://nobody@127.0.0.1:1/none"
    document = project.run("validate")
    assert document["exit_code"] == 6
    places = [line.split(": ")[0] for line in document["error"]["details"]]
    assert places == ["V1__a.sql:2:1", "V2__b.sql:1:1"]


def test_history_is_an_audit_trail(project: Project) -> None:
    project.file("V1__a.sql", "create table a ()")
    project.file("U1__a.sql", "drop table a")
    project.run("migrate", "--run-id", "first")
    project.run("rollback", "--yes", "--steps", "1", "--run-id", "second")
    entries = project.run("history")["data"]
    assert [(e["action"], e["version"], e["run_id"]) for e in entries] == [
        ("apply", "1", "first"),
        ("undo", "1", "second"),
    ]


def test_help_lists_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(f"{code}  {text}" in out for code, text in EXIT_CODES.items())


def test_wrong_usage_is_exit_2() -> None:
    assert main(["rollback", "--steps", "1", "--to", "2"]) == 2


def test_junit_shows_what_was_applied_and_what_failed(project: Project, tmp_path: Path) -> None:
    project.file("V1__a.sql", "create table a ()")
    project.file("V2__b.sql", "select '<&\x01'::int")
    path = tmp_path / "reports" / "migrate.xml"
    assert project.run("migrate", "--junit", str(path))["exit_code"] == 3
    suite = ET.parse(path).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.get("name") for case in suite] == ["V1__a.sql", "V2__b.sql"]


def test_junit_is_xml_whatever_was_said(tmp_path: Path) -> None:
    for make in documents.ALL.values():
        hostile = documents.everywhere(make(), "<&'\"]]>\x00\x1b\ufffe\ud800\n")
        junit.write(hostile, tmp_path / "junit.xml", "last \x01")
        suite = ET.parse(tmp_path / "junit.xml").getroot()
        assert int(suite.get("tests", 0)) == len(suite) > 0
        assert int(suite.get("failures", 0)) >= (make()["error"] is not None)


def test_junit_of_a_fleet_has_a_case_for_each_target(tmp_path: Path) -> None:
    junit.write(documents.fleet(), tmp_path / "junit.xml", "")
    suite = ET.parse(tmp_path / "junit.xml").getroot()
    assert [(case.get("name"), [child.tag for child in case]) for case in suite] == [
        ("tenant_1", []), ("tenant_2", ["failure"]), ("tenant_3", ["failure"]),
        ("tenant_4", ["skipped"]),
    ]  # fmt: skip


def test_junit_of_a_proof_says_what_failed_and_what_is_skipped(tmp_path: Path) -> None:
    junit.write(documents.verified(), tmp_path / "junit.xml", "")
    suite = ET.parse(tmp_path / "junit.xml").getroot()
    assert [[child.tag for child in case] for case in suite] == [[], ["failure"], ["skipped"]]
    assert suite[0].get("time") == "0.044"


def test_a_text_that_looks_like_a_failure_is_none(tmp_path: Path) -> None:
    document = documents.document(outcome="applied", applied=[documents.entry("<failure")])
    junit.write(document, tmp_path / "junit.xml", "")
    assert ET.parse(tmp_path / "junit.xml").getroot().get("failures") == "0"


def test_colour_only_paints_the_last_line() -> None:
    document = documents.document(run_id="r", target={}, warnings=["w"])
    assert COMMANDS["migrate"].text(document, Screen(colour=True)) == (
        "warning: w\n\x1b[32mnothing to do; run r\x1b[0m"
    )


def test_plan_is_in_colour_on_a_terminal_only(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.file("V1__a.sql", "create table a ()")

    def shown() -> str:
        out = Terminal()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            assert main([*project._target(), "plan"]) == 0
        return out.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1mcreate\x1b[0m" in shown()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in shown()
    assert "\x1b" not in project.text("plan")[1]


def test_a_terminal_is_told_of_each_file_once(project: Project) -> None:
    for number in range(1, 12):
        project.file(f"V{number}__a.sql", f"create table a{number} ()")
    out, err = Terminal(), Terminal()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main([*project._target(), "migrate"]) == 0
    told = re.findall(r"^(?:.*\x1b\[K)?( .*) \(\d+ ms\)$", err.getvalue(), re.MULTILINE)
    assert (told[0], told[-1]) == ("   1 of 11  V1__a.sql", "  11 of 11  V11__a.sql")
    assert len(told) == 11
    assert "V11" not in out.getvalue()
    assert out.getvalue().count("\n") == 1
    assert "done: 11 migrations" in out.getvalue()


def test_a_failure_does_not_begin_in_the_line_of_its_file(project: Project) -> None:
    project.file("V1__a.sql", "create tabel a ()")
    both = Terminal()
    with contextlib.redirect_stdout(both), contextlib.redirect_stderr(both):
        assert main([*project._target(), "migrate"]) == 3
    assert re.search(r"1 of 1  V1__a.sql …\r\x1b\[K/.*V1__a.sql:1:8: syntax", both.getvalue())


def test_columns_fit_a_terminal_and_nothing_is_cut_elsewhere(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    project.file(f"V1__{'long_' * 20}name.sql", "create table a ()")
    project.file("V2__表表.sql", "create table b ()")
    out = Terminal()
    with contextlib.redirect_stdout(out):
        main([*project._target(), "status"])
    lines = out.getvalue().splitlines()[:-1]
    assert max(map(columns, lines)) <= 60
    assert "…" in lines[2]
    assert columns(lines[3][: lines[3].index("pending")]) == lines[2].index("pending")
    assert "…" not in project.text("status")[1]


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 130), ("", 130), ("no\n", 130)])
def test_a_terminal_answers_what_is_to_be_undone(
    project: Project, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    project.file("V1__a.sql", "create table a ()")
    project.file("U1__a.sql", "drop table a")
    project.run("migrate")
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main([*project._target(), "rollback", "--steps", "1"]) == code
    assert "drops table a" in out.getvalue()
    assert "do it now? [y/N]" in err.getvalue()
    assert len(project.history()) == bool(code)
    # What was not done is said when that is known, and in no colour of success.
    assert "nothing was" not in out.getvalue()
    assert ("nothing was done" in err.getvalue()) == bool(code)
    assert out.getvalue().count("\x1b[32m") == (not code)


def test_nobody_is_asked_who_cannot_see_what_it_is_about(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.file("V1__a.sql", "create table a ()")
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert project.text("baseline", "1")[1].splitlines()[-1].startswith("nothing was written")
    assert project.run("status")["data"][0]["state"] == "pending"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_of_a_result_paints_the_terminal() -> None:
    for make in documents.ALL.values():
        hostile = documents.everywhere(make(), "\x1b[2J\u202e\r")
        text = COMMANDS[hostile["command"]].text(hostile)
        assert not re.search("[\x1b\u202e\r]", text)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (documents.repaired(), "done in 5.2 s"),
        (documents.unrepaired(), "nothing was written; to do it: the same command with --yes"),
        (documents.document(command="repair", outcome="planned", data=[]), "nothing to do"),
        (documents.document(outcome="planned", data=[]), "nothing to do"),
        (documents.run(), "done: 2 migrations in 5.2 s"),
        (documents.failed(), "failed (exit code 3): 1 done before, 1 not run"),
    ],
    ids=["repaired", "unrepaired", "whole", "planned", "run", "failed"],
)
def test_last_line_counts_only_what_there_is(document: dict[str, Any], expected: str) -> None:
    line = COMMANDS[document["command"]].last_line(document)
    assert line == f"{expected}; shop on db.example; run run-1"


def test_error_before_a_run_counts_nothing() -> None:
    error = documents.error("configuration", "no such folder")
    document = documents.document(outcome="failed", exit_code=2, target={}, run_id="-", error=error)
    assert COMMANDS["migrate"].last_line(document) == "failed (exit code 2)"


def test_target_without_a_name_is_no_crash() -> None:
    document = documents.document(target={"host": "db.example"})
    assert "a database that was not reached on db.example" in COMMANDS["migrate"].text(document)


def test_the_file_that_failed_is_not_among_those_not_run(project: Project) -> None:
    project.file("V042__a.sql", "select 1/0")
    out = project.text("migrate")[1]
    assert "not run" not in out


@pytest.mark.parametrize("after", ["", "x" * 200])
def test_excerpt_says_where_a_long_line_goes_on(after: str) -> None:
    before = "create table a (" + "c text, " * 30
    text = f"-- why\nselect 1;\n{before}tabel{after}"
    lines = excerpt(Near(text, text.index("tabel"))).splitlines()
    assert lines[0] == "     1 | …"
    shown, caret = lines[-2], lines[-1]
    assert shown.startswith("     3 | …")
    assert shown.endswith("…") == bool(after)
    assert shown[caret.index("^") :].startswith("tabel")


def test_second_baseline_counts_in_the_singular(project: Project) -> None:
    project.file("V1__a.sql", "create table a ()")
    project.run("migrate")
    error = project.run("baseline", "--yes", "1")["error"]
    assert error["message"] == "the history has 1 migration; a baseline begins one"


@pytest.mark.parametrize("option", ["--save", "--junit"])
def test_file_that_cannot_be_made_is_refused_before_the_work(
    project: Project, tmp_path: Path, option: str
) -> None:
    project.file("V1__a.sql", "create table a ()")
    (tmp_path / "file").write_text("")
    code, out, _ = project.text(option, str(tmp_path / "file" / "r"), "migrate")
    assert code == 2
    assert "cannot be written" in out
    assert project.query("select to_regclass('a')") == [(None,)]


def test_result_is_printed_though_it_cannot_be_saved(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the disk fills meanwhile: what was done is said, and the code is not 0."""
    project.file("V1__a.sql", "create table a ()")

    def full(path: Path, _: str) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("runner.report.text.write_text", full)
    code, out, err = project.text("--save", str(tmp_path / "r.json"), "migrate")
    assert code == 1
    assert "done: 1 migration" in out
    assert "No space left" in err
    assert not (tmp_path / "r.json").exists()


def test_reader_that_goes_away_stops_nothing(project: Project) -> None:
    """As `runner … 2>&1 | head -1` does: the work is done and its exit code kept."""
    for number in range(1, 30):
        project.file(f"V{number}__a.sql", f"create table a{number} ()")
    process = subprocess.Popen(
        [sys.executable, "-m", "runner", *project._target(), "migrate"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert len(project.history()) == 29


@pytest.mark.parametrize("stream", [1, 2])
def test_a_stream_that_is_closed_from_the_beginning_stops_nothing(
    project: Project, stream: int
) -> None:
    """As `runner … >&-`: no connection gets its number, and nobody's words are sent to a server."""
    project.file("V1__a.sql", "do $$ begin raise warning 'a'; end $$")
    ended = started(f'exec "$@" {stream}>&-', *project._target(), "migrate")
    assert (ended.returncode, "Traceback" in ended.stdout + ended.stderr) == (0, False)
    assert project.history() == [("1", "applied")]


@pytest.mark.parametrize(("stream", "code"), [(1, 1), (2, 0)])
def test_a_result_that_its_disk_does_not_take_is_no_success_and_no_crash(
    project: Project, stream: int, code: int
) -> None:
    project.file("V1__a.sql", "create table a ()")
    ended = started(f'exec "$@" {stream}>/dev/full', *project._target(), "migrate")
    assert (ended.returncode, "Traceback" in ended.stdout + ended.stderr) == (code, False)
    assert ("the result cannot be written: No space left" in ended.stderr) == bool(code)
    assert project.history() == [("1", "applied")]


@pytest.mark.parametrize("to", ["| true", ">/dev/full", ">&-"])
def test_whoever_reads_no_help_sees_no_traceback(to: str) -> None:
    asked = ("--completion bash", "--help-all", "--version")
    script = "; ".join(f'"$@" {words} {to}' for words in asked)
    assert started(script).stderr == ""


def started(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a shell does."""
    command = [sys.executable, "-m", "runner", *arguments]
    return subprocess.run(
        ["bash", "-c", script, "bash", *command], capture_output=True, text=True, check=False
    )
