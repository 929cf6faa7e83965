"""What the linter finds, what a waiver answers, and what a git base adds."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runner.cli import main
from runner.errors import ConfigurationError, RunnerError
from runner.lint import squawk
from runner.lint.rules import lint

CLEAN = "create table a (id bigint generated always as identity);\n"
DROP = "alter table a drop column b;\n"


class Repository:
    """A git repository whose folder sql/ is linted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sql = root / "sql"
        self.sql.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> None:
        settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(
            ["git", *identity, *arguments],
            cwd=self.root, check=True, capture_output=True, env={**os.environ, **settings},
        )  # fmt: skip

    def write(self, files: dict[str, str | bytes]) -> None:
        for name, text in files.items():
            data = text if isinstance(text, bytes) else text.encode()
            (self.sql / name).write_bytes(data)

    def commit(self, files: dict[str, str | bytes]) -> None:
        self.write(files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "x")

    def lint(self, *, base: str | None = None, server_version: str = "17") -> dict[str, Any]:
        return lint(self.sql, "r", base=base, server_version=server_version).document()

    def found(self, base: str | None = None) -> list[tuple[str, int, int, str]]:
        """Return file name, line, column and rule of every finding."""
        return [
            (Path(entry["file"]).name, entry["line"], entry["column"], entry["rule"])
            for entry in self.lint(base=base)["data"]
        ]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def pair(number: str, up: str = CLEAN, down: str = "drop table a;\n") -> dict[str, str | bytes]:
    return {f"V{number}__a.sql": up, f"U{number}__a.sql": down}


def test_sample_application_is_clean() -> None:
    document = lint(Path("sql"), "r", base=None, server_version="17").document()
    assert (document["exit_code"], document["data"]) == (0, [])


def test_finding_says_where_what_and_how_to_mend_it(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.write(pair("1", f"{CLEAN}\n{DROP}"))
    assert main(["--sql-dir", str(repository.sql), "lint"]) == 7
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"{repository.sql}/V1__a.sql:3:15: ban-drop-column: ")
    assert out[1].startswith("  ")
    assert "1 finding in 1 file" in out[2]
    assert "-- runner: allow <rule>: <why>" in out[3]


def test_columns_count_characters_whatever_the_bytes(repository: Repository) -> None:
    """A BOM, letters of several bytes and lone carriage returns move nothing."""
    repository.write(pair("1", "\ufeff/* é𝄞 */ select 1;\r/* é𝄞 */ " + DROP))
    assert repository.found() == [("V1__a.sql", 2, 24, "ban-drop-column")]


def test_lines_behind_copied_data_are_the_files_own(repository: Repository) -> None:
    repository.write(pair("1", "copy a from stdin;\n1\tx\ndrop table q;\n\\.\n\n" + DROP))
    assert repository.found() == [("V1__a.sql", 6, 15, "ban-drop-column")]


def test_concurrent_index_needs_no_transaction_to_be_clean(repository: Repository) -> None:
    repository.write(pair("1", "create index concurrently i on a (id);\n"))
    assert repository.found() == []


def test_blocking_index_is_found_in_a_transaction(repository: Repository) -> None:
    repository.write(pair("1", "create index i on a (id);\n"))
    assert repository.found() == [("V1__a.sql", 1, 1, "require-concurrent-index-creation")]


def test_rule_knows_the_server_version(repository: Repository) -> None:
    """PostgreSQL 10 rewrote a table for a default; 11 does not."""
    repository.write(pair("1", "alter table a add column b bigint default 1;\n"))
    rules = [entry["rule"] for entry in repository.lint(server_version="10")["data"]]
    assert rules == ["adding-field-with-default"]
    assert repository.lint(server_version="17.7")["data"] == []


def test_what_runs_again_is_linted_and_what_undoes_is_not(repository: Repository) -> None:
    repository.write({**pair("1"), "R__b.sql": DROP})
    assert repository.found() == [("R__b.sql", 1, 15, "ban-drop-column")]


def test_what_the_runner_would_refuse_is_found(repository: Repository) -> None:
    repository.write(pair("1", CLEAN + "commit;\n", "vacuum a;\nselect 1;\n"))
    assert repository.found() == [
        ("U1__a.sql", 1, 1, "not-runnable"),
        ("V1__a.sql", 2, 1, "not-runnable"),
    ]
    message, fix = (repository.lint()["data"][1][key] for key in ("message", "fix"))
    assert message == "COMMIT would control the runner's own transaction"
    assert fix.startswith("remove it")


def test_migration_without_undo_or_reason_is_found(repository: Repository) -> None:
    reason = "-- runner: irreversible: gone is gone\n"
    repository.write({"V1__a.sql": CLEAN, "V2__a.sql": reason + CLEAN})
    assert repository.found() == [("V1__a.sql", 1, 1, "missing-undo")]
    assert "U1__a.sql" in repository.lint()["data"][0]["fix"]


@pytest.mark.parametrize("name", ["Add", "add-b", "add__b", "add b", "_add"])
def test_description_is_words_joined_by_underscores(repository: Repository, name: str) -> None:
    repository.write({f"R__{name}.sql": "select 1;\n"})
    assert [rule for *_, rule in repository.found()] == ["naming"]


def test_undo_has_the_name_of_what_it_undoes(repository: Repository) -> None:
    repository.write({"V1__a.sql": CLEAN, "U1__b.sql": "drop table a;\n"})
    assert repository.found() == [("U1__b.sql", 1, 1, "naming")]


def test_name_that_looks_like_a_pattern_is_only_a_name(repository: Repository) -> None:
    (repository.sql / "[x]").mkdir()
    repository.write({"[x]/V1__*.sql": DROP, "[x]/U1__*.sql": "select 1;\n"})
    assert {rule for *_, rule in repository.found()} == {"naming", "ban-drop-column"}


def test_finding_shows_the_safe_way_of_its_statement_once(repository: Repository) -> None:
    foreign = "alter table a add constraint f foreign key (b) references c;\n"
    repository.write(pair("1", f"select 1;\n{foreign}"))
    first, second = repository.lint()["data"]
    assert {first["rule"], second["rule"]} == {
        "constraint-missing-not-valid", "adding-foreign-key-constraint",
    }  # fmt: skip
    assert first["safe"].splitlines()[2:] == [
        "alter table a add constraint f foreign key (b) references c not valid;",
        "-- file 2 of 2: for what is there, beside the writes",
        "alter table a validate constraint f;",
    ]
    assert "safe" not in second


def test_waiver_with_a_reason_answers_every_finding_of_its_rule(repository: Repository) -> None:
    waiver = "-- runner: allow ban-drop-column: nobody reads it since release 7\n"
    repository.write(pair("1", waiver + DROP + DROP))
    assert repository.found() == []


def test_waiver_that_answers_nothing_is_found(repository: Repository) -> None:
    repository.write(pair("1", f"-- why\n  -- runner: allow ban-drop-column: x\n{CLEAN}"))
    assert repository.found() == [("V1__a.sql", 2, 3, "unused-waiver")]
    assert repository.lint()["data"][0]["message"] == "nothing here breaks ban-drop-column"


def test_waiver_of_a_rule_that_does_not_exist_is_found(repository: Repository) -> None:
    repository.write(pair("1", f"-- runner: allow ban-drop-colum: x\n{DROP}"))
    assert [rule for *_, rule in repository.found()] == ["unused-waiver", "ban-drop-column"]
    assert repository.lint()["data"][0]["message"] == "there is no rule ban-drop-colum"


def test_fact_cannot_be_waived(repository: Repository) -> None:
    repository.write({"V1__a.sql": f"-- runner: allow missing-undo: x\n{CLEAN}"})
    assert [rule for *_, rule in repository.found()] == ["missing-undo", "unused-waiver"]


def test_waiver_beside_the_files_answers_for_one_that_stays_as_it_is(
    repository: Repository,
) -> None:
    repository.write(pair("1", DROP) | pair("2", DROP))
    repository.write({"waivers": "# old\n\nV1__a.sql  ban-drop-column: nobody reads it\n"})
    assert repository.found() == [("V2__a.sql", 1, 15, "ban-drop-column")]


def test_versions_through_one_are_left_out_and_the_next_are_not(repository: Repository) -> None:
    repository.write(pair("1", DROP) | pair("2", DROP) | {"V0.1__A.sql": CLEAN})
    repository.write({"waivers": "through 1.0: taken over from Flyway\n"})
    assert repository.found() == [("V2__a.sql", 1, 15, "ban-drop-column")]


def test_versions_that_nobody_has_written_yet_are_not_left_out(repository: Repository) -> None:
    repository.write(pair("1"))
    repository.write({"waivers": "through 10: a slip\n"})
    with pytest.raises(ConfigurationError, match="through 10 is beyond the newest version, 1"):
        repository.lint()


def test_waiver_beside_the_files_that_answers_nothing_is_found_at_its_line(
    repository: Repository,
) -> None:
    repository.write(pair("1"))
    repository.write({
        "waivers": "V1__a.sql ban-drop-column: x\nV9__b.sql naming: x\nU1__a.sql missing-undo: x\n"
    })  # fmt: skip
    assert repository.found() == [("waivers", line, 1, "unused-waiver") for line in (1, 2, 3)]
    assert [finding["message"] for finding in repository.lint()["data"]] == [
        "nothing here breaks ban-drop-column",
        "there is no file V9__b.sql",
        "missing-undo cannot be waived",
    ]


def test_lines_that_are_no_waivers_are_named_all_at_once(repository: Repository) -> None:
    repository.write(pair("1"))
    repository.write({
        "waivers": "V1__a.sql naming\nV1__a.sql naming: \nthrough x: y\n"
        "through 1: y\nthrough 2: y\nV1__a.sql naming: x\nV1__a.sql naming: y\n"
    })  # fmt: skip
    with pytest.raises(ConfigurationError) as refused:
        lint(repository.sql, "r", base=None, server_version="17")
    form = "'V003__a.sql rule: why' or 'through 42: why' is expected"
    assert [detail.removeprefix(f"{repository.sql}/") for detail in refused.value.details] == [
        *(f"waivers:{line}: {form}" for line in (1, 2, 3)),
        "waivers:5: through is said twice",
        "waivers:7: naming of V1__a.sql is waived twice",
    ]


def test_squawks_own_comment_gives_no_reason_and_waives_nothing(repository: Repository) -> None:
    repository.write(pair("1", f"-- squawk-ignore ban-drop-column\n{DROP}"))
    assert [rule for *_, rule in repository.found()] == ["ban-drop-column"]


def test_settings_that_lie_about_are_not_read(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.root)
    Path(".squawk.toml").write_text('excluded_rules = ["ban-drop-column"]\n')
    repository.write(pair("1", DROP))
    assert [rule for *_, rule in repository.found()] == ["ban-drop-column"]


def test_base_takes_what_it_has_as_given(repository: Repository) -> None:
    repository.commit(pair("1", DROP))
    repository.write(pair("2", "drop table b;\n"))
    assert [name for name, *_ in repository.found("main")] == ["V2__a.sql"]


def test_changed_migration_of_the_base_is_found(repository: Repository) -> None:
    repository.commit(pair("1"))
    repository.write(pair("1", CLEAN + "select 1;\n"))
    assert repository.found("main") == [("V1__a.sql", 1, 1, "applied-changed")]
    assert "git checkout main -- " in repository.lint(base="main")["data"][0]["fix"]


def test_other_line_ends_are_no_change(repository: Repository) -> None:
    repository.commit(pair("1"))
    repository.write(pair("1", b"\xef\xbb\xbf" + CLEAN.replace("\n", "\r\n").encode()))
    assert repository.found("main") == []


def test_deleted_migration_of_the_base_is_found(repository: Repository) -> None:
    repository.commit({**pair("1"), **pair("2")})
    for name in pair("2"):
        (repository.sql / name).unlink()
    assert repository.found("main") == [("V2__a.sql", 1, 1, "applied-changed")]


def test_branch_that_is_only_behind_is_clean(repository: Repository) -> None:
    repository.commit(pair("1"))
    repository.git("switch", "--quiet", "--create", "work")
    repository.git("switch", "--quiet", "main")
    repository.commit(pair("2"))
    repository.git("switch", "--quiet", "work")
    assert repository.found("main") == []


def test_versions_that_collide_or_come_too_late_are_found(repository: Repository) -> None:
    repository.commit(pair("1"))
    repository.git("switch", "--quiet", "--create", "work")
    repository.git("switch", "--quiet", "main")
    repository.commit(pair("5"))
    repository.git("switch", "--quiet", "work")
    allowed = "-- runner: out-of-order\n"
    repository.write({
        "V5__b.sql": CLEAN + "select 1;\n", "U5__b.sql": CLEAN,
        "V3__b.sql": CLEAN, "U3__b.sql": CLEAN,
        "V4__b.sql": allowed + CLEAN, "U4__b.sql": CLEAN,
        "V6__b.sql": CLEAN, "U6__b.sql": CLEAN,
    })  # fmt: skip
    assert repository.found("main") == [
        ("V3__b.sql", 1, 1, "version-order"),
        ("V5__b.sql", 1, 1, "version-collision"),
    ]
    entry = repository.lint(base="main")["data"][1]
    assert entry["message"] == "version 5 is V5__a.sql on main"
    assert "such as 7" in entry["fix"]


def test_renamed_migration_of_the_base_is_no_collision(repository: Repository) -> None:
    repository.commit(pair("1"))
    (repository.sql / "V1__a.sql").rename(repository.sql / "V01__a.sql")
    assert repository.found("main") == []


@pytest.mark.parametrize("base", ["nonsense", "--all", ""])
def test_unknown_base_is_refused_with_the_way_out(repository: Repository, base: str) -> None:
    repository.commit(pair("1"))
    with pytest.raises(ConfigurationError) as raised:
        lint(repository.sql, "r", base=base, server_version="17")
    assert "git fetch" in str(raised.value.fix)


def test_wrong_server_version_is_refused(repository: Repository) -> None:
    with pytest.raises(ConfigurationError):
        repository.lint(server_version="latest")


def test_missing_squawk_is_an_error_that_names_the_way_out(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.write(pair("1"))
    monkeypatch.setattr("sys.executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    squawk._program.cache_clear()
    try:
        with pytest.raises(ConfigurationError) as raised:
            repository.lint()
    finally:
        squawk._program.cache_clear()
    assert raised.value.fix == "pip install 'schema-migrations[lint]'"


def test_squawk_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(squawk, "_PATIENCE", 0.1)
    monkeypatch.setattr(squawk, "_program", lambda: "sleep")
    with pytest.raises(RunnerError, match="squawk has not ended"):
        squawk._run("600")
