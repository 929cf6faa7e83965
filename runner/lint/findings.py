"""What the linter found, and the waivers that answer it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from runner.files.folder import Migration
from runner.result import Finding
from runner.syntax.lexer import Problem

# These state facts; no reason makes them harmless.
UNWAIVABLE = frozenset({"not-runnable", "missing-undo", "version-collision", "applied-changed"})
OWN_RULES = UNWAIVABLE | {"naming", "version-order"}


class Found(NamedTuple):
    """One place that a rule objects to; line and column count from 1.

    `safe` is the SQL of the safe way, where there is one.
    """

    file: str
    line: int
    column: int
    rule: str
    message: str
    fix: str
    safe: str = ""

    def finding(self) -> Finding:
        """Return it as the result document has it."""
        found: Finding = {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "rule": self.rule,
            "message": self.message,
            "fix": self.fix,
        }
        return {**found, "safe": self.safe} if self.safe else found


class Judged(NamedTuple):
    """A file that is held against the rules, with what the runner says of it."""

    migration: Migration
    text: str
    transactional: bool
    problems: tuple[Problem, ...]

    def found(self, rule: str, message: str, fix: str, place: tuple[int, int] = (1, 1)) -> Found:
        """Return what a rule objects to in this file."""
        return Found(str(self.migration.path), *place, rule, message, fix)


class Waiver(NamedTuple):
    """A rule that a file may break, and where that is said; line and column count from 1."""

    rule: str
    file: str
    line: int
    column: int

    def unused(self, why: str, fix: str) -> Found:
        """Return what is said of a waiver that answers nothing."""
        return Found(self.file, self.line, self.column, "unused-waiver", why, fix)


def unwaived(
    waivers: Sequence[Waiver], findings: Iterable[Found], unknown: Callable[[str], bool]
) -> Iterator[Found]:
    """Yield the findings of a file that no waiver answers, and the waivers that answer none.

    Parameters:
        waivers: those of this file.
        unknown: says whether no linter has a rule of this name; asked only for unused waivers.
    """
    allowed = {waiver.rule for waiver in waivers} - UNWAIVABLE
    used = set()
    for finding in findings:
        if finding.rule in allowed:
            used.add(finding.rule)
        else:
            yield finding
    for waiver in waivers:
        rule = waiver.rule
        if rule in used:
            continue
        if rule in UNWAIVABLE:
            yield waiver.unused(f"{rule} cannot be waived", "remove it and mend what it excuses")
        elif unknown(rule):
            yield waiver.unused(f"there is no rule {rule}", "correct its name")
        else:
            yield waiver.unused(f"nothing here breaks {rule}", "remove the waiver")
