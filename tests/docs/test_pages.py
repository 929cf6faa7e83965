"""What the pages name is there: links, files, and the tests that hold a promise."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from runner.commands.command import Option
from runner.commands.table import COMMANDS, SHARED

ROOT = Path(__file__).parents[2]
PAGES = sorted([
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *ROOT.glob("roles/*/README.md"),
    *ROOT.glob("collections/ansible_collections/migrations/**/*.md"),
])  # fmt: skip
EXAMPLES = {  # what a reader is to make
    "sql/V001__baseline.sql",
    "sql/waivers",
    "sql/U001__create_customer.sql",
    "sql/V002__add_customer_email.sql",
    "sql/U002__add_customer_email.sql",
}
PARTS = "benchmarks|ci|collections|docs|inventories|local|playbooks|roles|runner|sql|tests|torture"


def anchors(page: Path) -> set[str]:
    """Return the names by which a page's headings are linked."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not link.startswith("https://") and not (
            target.exists() and (not anchor or anchor in anchors(target))
        ):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(rf"`((?:{PARTS})/[\w./*-]*)`", page.read_text())) - EXAMPLES
    patterns = {path: path.rstrip("/").replace("NAME", "*") for path in sorted(named)}
    assert [path for path, pattern in patterns.items() if not list(ROOT.glob(pattern))] == []


@pytest.mark.parametrize("name", ["SECURITY.md", "docs/threat-model.md"])
def test_every_promise_names_tests_that_exist(name: str) -> None:
    page = (ROOT / name).read_text()
    tests = list((ROOT / "tests").rglob("test_*.py"))
    there = {path.name for path in tests}
    for path in tests:
        there |= set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|/)(test_\w+(?:\.py)?)`", page))
    endings = re.findall(r"`…(_\w+)`", page)
    assert named - there == set()
    assert [end for end in endings if not any(name.endswith(end) for name in there)] == []


def test_questions_are_messages_of_the_runner() -> None:
    sources = "".join(path.read_text() for path in sorted((ROOT / "runner").rglob("*.py")))
    joined = re.sub(r'"\s*\n\s*f?"', "", sources)
    headings = re.findall(r"^## (.+)$", (ROOT / "docs/faq.md").read_text(), re.MULTILINE)
    quoted = [text for heading in headings for text in re.findall(r'"([^"]+)"', heading)]
    assert len(quoted) >= len(headings) > 10
    parts = {part.strip() for text in quoted for part in text.split("…")} - {""}
    assert [part for part in sorted(parts) if part not in joined] == []


def test_hook_of_other_repositories_is_a_command_with_what_it_needs() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    program, command = hook["entry"].split()
    assert program in project["scripts"]
    assert hook["additional_dependencies"] == project["optional-dependencies"][command]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_options_of_the_runner_in_examples_exist(page: Path) -> None:
    unknown = []
    for example in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        for line in re.findall(r"(?:^|[ /])runner ((?!-)[a-z]+.*)", example, re.MULTILINE):
            words = line.partition("#")[0].split()
            grouped = " ".join(words[:2])
            name = grouped if grouped in COMMANDS else words[0]
            known = {f"--{option.name.replace('_', '-')}" for option in options_of(name)}
            used = {word.partition("=")[0] for word in words if word.startswith("--")}
            unknown += sorted(used - known - {"--help"}) if known else []
    assert unknown == []


def options_of(name: str) -> list[Option]:
    """Return the options of a command, its own and those that all have; none of no command.

    After those of `invoke` come those of the command that it asks for.
    """
    if name not in COMMANDS:
        return []
    named = COMMANDS.values() if name == "invoke" else [COMMANDS[name]]
    own = [option for command in named for option in command.options]
    return [*own, *(option for group in SHARED.values() for option in group)]


def test_a_commit_is_held_against_what_make_lint_runs() -> None:
    makefile = (ROOT / "Makefile").read_text().replace("$(BIN)/", "")
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    for hook in hooks:
        command = hook["entry"].replace(".venv/bin/", "").replace(" --force-exclude", "")
        assert f"\t{command}" in makefile.replace("\t@", "\t"), hook["id"]
