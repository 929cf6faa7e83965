"""What later steps are told comes out of a shell as it went in, in one line each."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from runner.commands.report import report
from runner.errors import ConfigurationError
from runner.files.code import OWN, code_digest
from runner.report.variables import variables
from tests.runner.report.documents import Document, document, error, task, verified


def planned(*files: Document) -> Document:
    """Return a plan of these files."""
    data = {
        "digest": "sha256:0f",
        "runner": code_digest(),
        "longest_transaction": None,
        "files": list(files),
    }
    return document(command="plan", outcome="planned", pending=[task("x")], data=data)


def file(name: str, **changes: object) -> Document:
    """Return a file of a plan."""
    plain = {
        **task(name), "irreversible": None, "may_lose": False, "takes": None, "sql": "",
        "risk": "none", "risks": [], "hazards": [], "locks": [], "relations": [],
    }  # fmt: skip
    del plain["checksum"]
    return {**plain, **changes}


def exported(text: str) -> dict[str, str]:
    """Return what a shell exports when it reads the lines, and nothing it had before."""
    told = subprocess.run(
        ["sh", "-c", f"{text}\nenv -0"], env={}, capture_output=True, text=True, check=True
    ).stdout
    names = ("PLAN_", "PROVED", "APPLIED", "HELD", "REHEARSAL")
    pairs = (pair.split("=", 1) for pair in told.split("\0") if pair.startswith(names))
    return dict(pairs)


def test_digest_number_and_risk_are_told() -> None:
    shown = exported(variables(planned(file("V1__a.sql"), file("V2__b.sql", risk="block"))))
    assert shown == {
        "PLAN_DIGEST": "sha256:0f",
        "PLAN_PENDING": "2",
        "PLAN_RISK": "Would block: 2 files to run, 1 would block others",
        "PLAN_MAY_LOSE": "no",
        "HELD": "0",
    }


def test_whether_something_may_be_lost_for_good_is_told() -> None:
    shown = exported(variables(planned(file("V1__a.sql"), file("V2__b.sql", may_lose=True))))
    assert shown["PLAN_MAY_LOSE"] == "yes"


def test_what_waits_for_the_new_code_is_told() -> None:
    held = {"version": "2", "description": "b", "file": "V2__b.sql"}
    shown = exported(variables({**planned(file("V1__a.sql")), "held": [held]}))
    assert shown["HELD"] == "1"
    assert shown["PLAN_RISK"].endswith("; 1 file held until the new code is deployed")


def test_what_cannot_be_undone_is_told() -> None:
    shown = exported(variables(planned(file("V1__a.sql", irreversible="drops the past"))))
    assert shown["PLAN_RISK"].endswith("1 file cannot be undone: V1__a.sql")


def test_data_that_is_lost_is_told() -> None:
    hazards = [{"kind": "clients", "text": "renames t"}, {"kind": "data", "text": "drops table t"}]
    said = exported(variables(planned(file("V1__a.sql", hazards=hazards))))["PLAN_RISK"]
    assert said.endswith("; data is lost: drops table t")


def test_tables_that_are_rewritten_are_told() -> None:
    lock = {"relation": "t", "mode": "AccessExclusiveLock", "rewrite": True}
    said = exported(variables(planned(file("V1__a.sql", locks=[lock, lock]))))["PLAN_RISK"]
    assert said.endswith("; 1 table rewritten: t")


def test_a_name_deceives_neither_shell_nor_pipeline() -> None:
    name = "V1__it's\n$(id) #{Source.CommitId}.sql"
    said = exported(variables(planned(file(name, irreversible="x"))))["PLAN_RISK"]
    assert "it's $(id) # {Source.CommitId}.sql" in said
    assert "\n" not in said


def test_a_long_line_is_cut_to_what_codepipeline_takes() -> None:
    files = [file(f"V{n}__{'long' * 9}.sql", irreversible="x") for n in range(60)]
    said = exported(variables(planned(*files)))["PLAN_RISK"]
    assert len(said) == 350
    assert said.endswith("…")


@pytest.mark.parametrize(
    "other",
    [
        document(),
        document(command="status", data=[]),
        document(command="migrate", outcome="planned", data=[{"file": "V1__a.sql", "sql": ""}]),
        verified(),
        document(command="plan", outcome="failed", error=error("validation", "no")),
    ],
    ids=["part of the files", "another command", "a dry run", "no proof", "a plan that failed"],
)
def test_what_tells_nothing_is_refused(other: Document) -> None:
    with pytest.raises(ConfigurationError, match="tells later steps nothing"):
        variables(other)


def test_proof_and_run_tell_the_digest_of_their_files() -> None:
    proofs = {"server_version": "17.7", "files": "sha256:1a", "migrations": []}
    assert exported(variables(document(command="verify", data=proofs))) == {"PROVED": "sha256:1a"}
    applied = exported(variables(document(data={"files": "sha256:2b"})))
    assert applied == {"APPLIED": "sha256:2b", "HELD": "0"}


@pytest.mark.parametrize("change", [None, "more", "lint"])
def test_runner_that_changes_is_told(tmp_path: Path, change: str | None) -> None:
    shutil.copytree(OWN, tmp_path / "runner")
    if change:
        (tmp_path / "runner" / {"more": "more.py", "lint": "lint/more.py"}[change]).touch()
    (tmp_path / "plan.json").write_text(json.dumps(planned(file("V1__a.sql"))))
    report(str(tmp_path / "plan.json"), "r", told=tmp_path / "told.sh", source_code=tmp_path)
    said = exported((tmp_path / "told.sh").read_text())["PLAN_RISK"]
    assert ("; the runner itself changes" in said) == (change == "more")


def test_report_writes_it_and_no_page(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(planned(file("V1__a.sql"))))
    asked = tmp_path / "approval.sh"
    report(str(tmp_path / "plan.json"), "r", told=asked)
    assert exported(asked.read_text())["PLAN_PENDING"] == "1"
    assert not (tmp_path / "plan.html").exists()


def rehearsed(*files: Document, **changes: object) -> Document:
    """Return the result of a rehearsal of these files."""
    data = {
        "files": list(files), "duration_ms": 1500, "temporary_bytes": 0, "grown_bytes": 0,
        "fingerprint": "", "over": [],
    }  # fmt: skip
    return document(command="rehearse", outcome="planned", data=data, **changes)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (
            rehearsed({"file": "a", "held_ms": 300.0}, {"file": "b"}),
            "passed: 2 files took 1.5 s on a copy, locks held for up to 300 ms",
        ),
        (rehearsed(), "nothing to rehearse"),
        (rehearsed(warnings=["not rehearsed: no #{x} yet"]), "not rehearsed: no # {x} yet"),
    ],
    ids=["passed", "nothing", "nowhere"],
)
def test_a_rehearsal_is_told_in_few_words(result: Document, said: str) -> None:
    assert exported(variables(result)) == {"REHEARSAL": said}


def group(digest: str, *files: Document, targets: int = 2, **more: object) -> Document:
    """Return the targets of a fleet in one state; with files the first one's plan of them."""
    data = planned(*files)["data"]
    return {
        "digest": digest, "version": "4", "files": [each["file"] for each in files],
        "targets": targets, "examples": ["t_1"], **({"plan": data} if files else {}), **more,
    }  # fmt: skip


def of_fleet(command: str, groups: list[Document], **more: object) -> Document:
    data = {"files": "sha256:7", "groups": groups, "members": [], **more}
    return document(command=command, outcome="planned", target={}, data=data)


def test_of_a_fleet_all_digests_are_told_and_what_the_first_of_each_state_sees() -> None:
    lost = file("V3__c.sql", risk="block", may_lose=True, irreversible="drops the past")
    groups = [group("fleet:1", file("V2__b.sql"), lost), group("fleet:2", lost, targets=1, held=1)]
    shown = exported(variables(of_fleet("fleet plan", [*groups, group("fleet:3")])))
    assert shown.pop("PLAN_RISK") == (
        "0 targets; 2 at 4, as t_1 sees it: Would block: 2 files to run, 1 would block others;"
        " 1 file cannot be undone: V3__c.sql; 1 at 4, as t_1 sees it: Would block: 1 file to run,"
        " 1 would block others; 1 file cannot be undone: V3__c.sql; 1 file held until the new code"
        " is deployed"
    )
    assert shown == {
        "PLAN_DIGEST": "fleet:1,fleet:2,fleet:3",
        "PLAN_PENDING": "2",
        "PLAN_MAY_LOSE": "yes",
        "HELD": "1",
    }


def test_of_a_fleet_nobody_looked_at_closely_anything_may_be_lost() -> None:
    unseen = group("fleet:1", file("V2__b.sql"))
    del unseen["plan"]
    shown = exported(variables(of_fleet("fleet plan", [unseen])))
    assert (shown["PLAN_MAY_LOSE"], shown["PLAN_RISK"]) == (
        "yes", "0 targets; 2 at 4: not looked at closely",
    )  # fmt: skip


def test_a_fleet_in_more_states_than_an_approval_carries_is_refused() -> None:
    groups = [group(f"fleet:{number}") for number in range(4)]
    with pytest.raises(ConfigurationError, match="in 4 states"):
        variables(of_fleet("fleet plan", groups))


def test_what_a_fleet_left_in_force_is_told_where_it_is_the_same_everywhere() -> None:
    same = of_fleet("fleet migrate", [], carried="sha256:8", held=0)
    assert exported(variables(same)) == {"APPLIED": "sha256:8", "HELD": "0"}
    assert exported(variables(of_fleet("fleet migrate", [], held=2))) == {"HELD": "2"}


def test_of_a_fleet_what_blocks_is_told_first_and_no_name_takes_its_place() -> None:
    calm = group("fleet:1", file("V2__b.sql"), targets=900, examples=["t" * 200])
    block = group("fleet:2", file("V3__c.sql", risk="block"), examples=["b: No risk seen " * 9])
    said = exported(variables(of_fleet("fleet plan", [calm, block])))["PLAN_RISK"]
    assert said == (
        f"0 targets; 2 at 4, as {('b: No risk seen ' * 2)[:30]} sees it: Would block: 1 file to"
        f" run, 1 would block others; 900 at 4, as {'t' * 30} sees it: No risk seen: 1 file to run"
    )
