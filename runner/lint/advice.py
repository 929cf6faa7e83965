"""The safe way beside a finding, written for the very statement that it is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from runner.lint.findings import Found, Judged
from runner.syntax.recipes import recipe_of
from runner.syntax.scanner import Statement, scan
from runner.syntax.statements import position

# squawk's rules that object to what a recipe does otherwise.
_ANSWERED = {
    "adding-field-with-default", "adding-foreign-key-constraint", "adding-not-nullable-field",
    "changing-column-type", "constraint-missing-not-valid", "disallowed-unique-constraint",
    "renaming-column", "renaming-table", "require-concurrent-index-creation",
}  # fmt: skip


def advised(source: Judged, findings: Iterable[Found]) -> Iterator[Found]:
    """Yield the findings of a file, the first of each statement with the safe way to do it."""
    told: set[int] = set()
    for found in findings:
        statement = _statement(source, found) if found.rule in _ANSWERED else None
        recipe = recipe_of(statement) if statement and statement.start not in told else None
        if statement is None or recipe is None:
            yield found
        else:
            told.add(statement.start)
            yield found._replace(safe=recipe.text())


def _statement(source: Judged, found: Found) -> Statement | None:
    """Return the statement at a place, or the next one, where the place is above it."""
    place = (found.line, found.column)
    statements = scan(source.text)
    return next((s for s in statements if position(source.text, s.end) >= place), None)
