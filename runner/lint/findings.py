"""What the linter found, and the waivers that answer it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from runner.files.folder import Migration
from runner.result import Finding
from runner.syntax.lexer import Problem

# These state facts; no reason makes them harmless.
UNWAIVABLE = frozenset({"not-runnable", "missing-undo", "version-collision", "applied-changed"})
OWN_RULES = UNWAIVABLE | {"naming", "version-order"}


class Found(NamedTuple):
    """One place that a rule objects to; line and column count from 1."""

    file: str
    line: int
    column: int
    rule: str
    message: str
    fix: str

    def finding(self) -> Finding:
        """Return it as the result document has it."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "rule": self.rule,
            "message": self.message,
            "fix": self.fix,
        }


class Judged(NamedTuple):
    """A file that is held against the rules, with what the runner says of it."""

    migration: Migration
    text: str
    transactional: bool
    problems: tuple[Problem, ...]

    def found(self, rule: str, message: str, fix: str, place: tuple[int, int] = (1, 1)) -> Found:
        """Return what a rule objects to in this file."""
        return Found(str(self.migration.path), *place, rule, message, fix)


def unwaived(
    judged: Judged, findings: Iterable[Found], unknown: Callable[[str], bool]
) -> Iterator[Found]:
    """Yield the findings that no waiver of their file answers, and the waivers that answer none.

    Parameters:
        findings: those of this file.
        unknown: says whether no linter has a rule of this name; asked only for unused waivers.
    """
    allowed = {rule for rule, _ in judged.migration.directives.allow} - UNWAIVABLE
    used = set()
    for finding in findings:
        if finding.rule in allowed:
            used.add(finding.rule)
        else:
            yield finding
    for rule, _ in judged.migration.directives.allow:
        if rule in used:
            continue
        if rule in UNWAIVABLE:
            why, fix = f"{rule} cannot be waived", "remove the waiver and mend what it excuses"
        elif unknown(rule):
            why, fix = f"there is no rule {rule}", "correct its name"
        else:
            why, fix = f"nothing here breaks {rule}", "remove the waiver"
        yield judged.found("unused-waiver", why, fix, _place(judged.text, rule))


def _place(text: str, rule: str) -> tuple[int, int]:
    """Return line and column of the waiver of a rule."""
    waiver = re.compile(rf"\s*--[ \t]*runner:[ \t]*allow\s+{re.escape(rule)}\s*:")
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1):
        if waiver.match(line):
            return number, len(line) - len(line.lstrip()) + 1
    return 1, 1
