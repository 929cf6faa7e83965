"""Make the pages and pictures of docs/ that the code knows: `make docs`.

The JSON Schema of the result is made from the types in runner/result.py, the page of commands
from their table, the pictures of the rooms from the imports and the floors in pyproject.toml, that
of the line from the table in operations.md.
`make lint` fails where one of them is not what this makes.
"""

import json
import sys
import tomllib
import types
from collections.abc import Iterable
from pathlib import Path
from typing import (
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import line
from rooms import picture

from runner.commands.command import Command, Option
from runner.commands.table import COMMANDS, SHARED
from runner.errors import EXIT_CODES
from runner.result import VERSION, Document
from runner.settings import PREFIX, every

_DOCS = Path(__file__).parent
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}

_HEAD = """\
`runner COMMAND --help` shows the common options, `--help-all` each. Results go to stdout (`--json`
for the document), progress to stderr. `source <(runner --completion bash)` lets the shell complete
words (extra `completion`; `zsh` as well).

Those marked λ are served by the Lambda as well, to whoever may call the alias that stands there:
`runner invoke --function NAME:ALIAS COMMAND …`.

Each option can be set elsewhere too: [settings](settings.md).
"""

_SETTINGS = f"""\
# Settings

Made by `make docs` from runner/commands/table.py.

What an option is: as the command line says; else as its environment variable does; else as the
settings file does; else its default. An option's variable is `{PREFIX}` and its key in
capitals, with `_` for every `-` and `.`; an empty one counts as not set.

The file is `runner.toml` in the current folder, or the table `[tool.schema-migrations]` of the
`pyproject.toml` there. Options of one command stand in a table of its name:

```toml
# runner.toml
sql-dir = "database/migrations"
lock-timeout = "5s"

[migrate]
on-drift = "fail"
```

A switch is `true` or `false`. What speaks of one call only, such as `--yes` or `--target`, has no
key: no file may say it. A name that is unknown is an error, in the file and behind
`{PREFIX}`. `.env` is not read. The Lambda knows none of this: `runner invoke` sends it the
options as they are where it is called.
"""


def pages() -> dict[Path, str]:
    """Return the text of each page by its path."""
    return {
        _DOCS / "reference/result.schema.json": json.dumps(schema(), indent=2, ensure_ascii=False)
        + "\n",
        _DOCS / "reference/commands.md": commands(),
        _DOCS / "reference/settings.md": settings(),
        _DOCS / "rooms-of-runner.svg": picture("runner", floors("runner")),
        _DOCS / "rooms-of-local.svg": picture("local", floors("local")),
        _DOCS / "line.svg": line.picture(),
    }


def floors(package: str) -> list[list[str]]:
    """Return the rooms of each floor of a package, the uppermost first, as lint-imports has them.

    Empty where it has no such rule for the package.
    """
    settings = tomllib.loads((_DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = (rule["layers"] for rule in contracts if rule.get("containers") == [package])
    return [floor.split(" | ") for floor in next(layers, [])]


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the result document."""
    definitions: dict[str, Any] = {}
    _define(Document, definitions)
    top = definitions.pop("Document")
    top["properties"]["result_version"] = {"const": VERSION}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The result of a run",
        **top,
        "$defs": dict(sorted(definitions.items())),
    }


def _define(kind: Any, definitions: dict[str, Any]) -> None:
    if kind.__name__ in definitions:
        return
    definitions[kind.__name__] = {}  # for types that hold themselves
    hints = get_type_hints(kind, include_extras=True)
    required = [
        name
        for name, hint in hints.items()
        if kind.__total__ and get_origin(hint) is not NotRequired
    ]
    definitions[kind.__name__] = {
        "description": " ".join((kind.__doc__ or "").split()),
        "type": "object",
        "properties": {name: _schema(hint, definitions) for name, hint in hints.items()},
        "required": required,
        "additionalProperties": False,
    }


def _schema(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, inside = get_origin(hint), get_args(hint)
    if origin is NotRequired:
        return _schema(inside[0], definitions)
    if origin is Literal:
        return {"enum": list(inside)}
    if origin is list:
        return {"type": "array", "items": _schema(inside[0], definitions)}
    if origin in (Union, types.UnionType):
        return _any_of([_schema(part, definitions) for part in inside])
    if is_typeddict(hint):
        _define(hint, definitions)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    return {"type": _PLAIN[hint]} if hint in _PLAIN else {}


def _any_of(parts: list[dict[str, Any]]) -> dict[str, Any]:
    if all(part.keys() == {"type"} for part in parts):
        return {"type": [part["type"] for part in parts]}
    return {"anyOf": parts}


def commands() -> str:
    """Return the page of commands."""
    parts = [
        "# Commands\n\nMade by `make docs` from runner/commands/table.py.\n",
        _HEAD,
        *(_command(command) for command in COMMANDS.values()),
        "## Options of every command\n\nThey may stand before or after the command.\n",
    ]
    for need, options in SHARED.items():
        what = f"For commands that use {need.value}:" if need else "For all:"
        parts.append(f"{what}\n\n{_table(options)}")
    codes = "\n".join(f"| {code} | {text} |" for code, text in EXIT_CODES.items())
    parts.append(f"## Exit codes\n\n| code | meaning |\n|---|---|\n{codes}\n")
    return "\n".join(parts)


def settings() -> str:
    """Return the page of settings."""
    rows = "\n".join(
        f"| `{each.option.flag}` | {each.command.name if each.command else 'all that have it'} |"
        f" {'' if each.option.once else f'`{each.key}`'} | `{each.variable}` |"
        for each in every()
    )
    return f"{_SETTINGS}\n| option | of | key in the file | variable |\n|---|---|---|---|\n{rows}\n"


def _command(command: Command) -> str:
    positional = "".join(f" {option.metavar}" for option in command.options if option.positional)
    sign = f" λ :{command.right}" if command.right else ""
    also = f" (also: {', '.join(command.aliases)})" if command.aliases else ""
    text = (
        f"## {command.name}{sign}\n\n`runner {command.name}{positional}`{also}: {command.help}.\n"
    )
    flags = [option for option in command.options if not option.positional]
    return text + (f"\n{_table(flags)}" if flags else "")


def _table(options: Iterable[Option]) -> str:
    rows = "\n".join(f"| `{_usage(option)}` | {option.help} |" for option in options)
    return f"| option | what it does |\n|---|---|\n{rows}\n"


def _usage(option: Option) -> str:
    value = "\\|".join(option.choices) or option.metavar
    name = f"{option.short}, {option.flag}" if option.short else option.flag
    return name if option.kind is bool else f"{name} {value}"


def main(check: bool) -> int:
    """Write the pages, or say which of them are not what this would write."""
    stale = {
        path: text
        for path, text in pages().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    for path, text in stale.items():
        if check:
            print(f"{path}: not what the code says: make docs", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv))
