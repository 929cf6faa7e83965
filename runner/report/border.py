"""The border of this room: a document from outside is a result, or is refused with its place."""

from __future__ import annotations

from typing import Any

from runner.result import (
    VERSION,
    Carried,
    Document,
    Event,
    Finding,
    Fleet,
    Plan,
    Preview,
    Proofs,
    Rehearsal,
    Standing,
)
from runner.shape import misfit

# What each command's data is; that of any other is lines of text.
_DATA: dict[str, Any] = {
    "status": list[Standing], "history": list[Event], "lint": list[Finding], "verify": Proofs,
    "plan": Plan, "migrate": Carried | list[Preview], "rollback": Plan, "rehearse": Rehearsal,
    "fleet migrate": Fleet, "fleet plan": Fleet, "fleet status": Fleet,
}  # fmt: skip


def refused(found: object) -> str | None:
    """Return where a JSON value is no result of our version, and why; None where it is one.

    Its data is that of its command, so that what reads a result may trust the types.
    """
    if not isinstance(found, dict) or found.get("result_version") != VERSION:
        return f"$.result_version: not {VERSION}"
    if not isinstance(command := found.get("command"), str):
        return misfit(found, Document)
    kind = _DATA.get(command, list[str])
    return misfit(found.get("data"), kind | None, "$.data") or misfit(found, Document)
