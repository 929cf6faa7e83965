"""The statements of a text as texts, which is how a test names them."""

from runner.syntax.scanner import scan


def split(text: str) -> list[str]:
    """Return the statements of a text, each from its first token to its last."""
    return [statement.text for statement in scan(text)]
