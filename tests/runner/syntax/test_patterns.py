"""No pattern of the runner is one that a supported interpreter misreads."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from re import _constants as codes
from re import _parser as parser
from typing import Any

import pytest

import runner


def patterns() -> Iterator[tuple[str, str]]:
    """Yield every compiled pattern that a module of the runner holds, by its name."""
    for found in pkgutil.walk_packages(runner.__path__, "runner."):
        if found.name == "runner.__main__":
            continue
        for name, value in vars(importlib.import_module(found.name)).items():
            bound = getattr(value, "__self__", value)
            if isinstance(bound, re.Pattern) and isinstance(bound.pattern, str):
                yield f"{found.name}.{name}", bound.pattern


def possessive_groups(parsed: Any) -> Iterator[Any]:
    """Yield what is repeated possessively and is more than one character's class."""
    for code, argument in parsed:
        if code is codes.POSSESSIVE_REPEAT:
            body = argument[2]
            single = len(body) == 1 and body[0][0] in {codes.IN, codes.LITERAL, codes.NOT_LITERAL}
            if not (single or (len(body) == 1 and body[0][0] is codes.ANY)):
                yield body
        for part in argument if isinstance(argument, (tuple, list)) else (argument,):
            if isinstance(part, parser.SubPattern):
                yield from possessive_groups(part)
            elif isinstance(part, list):
                for branch in part:
                    if isinstance(branch, parser.SubPattern):
                        yield from possessive_groups(branch)


ALL = dict(patterns())


def test_patterns_are_found() -> None:
    assert "runner.syntax.scanner._run" in ALL


@pytest.mark.parametrize("name", ALL)
def test_no_group_is_repeated_possessively(name: str) -> None:
    """Python 3.11.0 to 3.11.4 backtrack wrongly into such groups (gh-106052)."""
    assert list(possessive_groups(parser.parse(ALL[name]))) == []


def test_a_group_that_is_repeated_possessively_is_seen() -> None:
    assert list(possessive_groups(parser.parse(r"x(?:a|(?:b|cd)*+)y"))) != []
