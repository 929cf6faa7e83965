"""The pieces of a statement's tokens: names, lists, the actions of ALTER TABLE.

A text that breaks off has pieces that are empty: nothing here raises, whatever is asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from runner.syntax.names import qualified

Tokens = list[str]

_OPTIONAL = (["IF", "EXISTS"], ["IF", "NOT", "EXISTS"], ["ONLY"], ["CONCURRENTLY"], ["TABLE"])
_AFTER_NAMES = {"CASCADE", "RESTRICT", "RESTART", "CONTINUE", "IN"}
_VERBS = {
    *("ADD", "ALTER", "ATTACH", "CLUSTER", "DETACH", "DISABLE", "DROP", "ENABLE", "FORCE"),
    *("INHERIT", "NO", "OWNER", "RENAME", "REPLICA", "RESET", "SET", "VALIDATE"),
}


def first_name(tokens: Tokens) -> str:
    """Return the name that tokens begin with, after words that may stand before it."""
    rest = tokens
    for words in _OPTIONAL:
        if rest[: len(words)] == words:
            rest = rest[len(words) :]
    return qualified(rest) if rest else ""


def after(tokens: Tokens, word: str) -> Tokens:
    """Return what follows a word, nothing where it is not there."""
    return tokens[tokens.index(word) + 1 :] if word in tokens else []


def names(tokens: Tokens) -> Iterator[str]:
    """Yield each name of a list: a, b.c, d."""
    depth = 0
    start = True
    for place, token in enumerate(tokens):
        depth += (token == "(") - (token == ")")
        if start and not depth:
            yield first_name(tokens[place:])
        start = token == "," and not depth
        if token in _AFTER_NAMES:
            return


def actions(tokens: Tokens) -> Iterator[Tokens]:
    """Yield the actions of ALTER TABLE, which commas outside parentheses separate.

    Parameters:
        tokens: those after ALTER TABLE, the table's name first.
    """
    start = next((n for n, token in enumerate(tokens) if n and token in _VERBS), len(tokens))
    action: Tokens = []
    depth = 0
    for token in tokens[start:]:
        depth += (token == "(") - (token == ")")
        if token != "," or depth:
            action.append(token)
        elif action:
            yield action
            action = []
    if action:
        yield action
