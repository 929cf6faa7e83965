"""What later steps of a pipeline are told of a result: a few variables of one line each."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from runner.errors import ConfigurationError
from runner.report.wording import duration, many, plan, rehearsal, verdict
from runner.result import Document, Plan, Rehearsal

# Characters, of a plan's risk and of a rehearsal. CodePipeline takes 1000 in all of what an
# approval says, around these as well: digest, what of the infrastructure would change, its link.
_LONGEST = 350
_SHORT = 100


def variables(document: Document, remarks: Sequence[str] = ()) -> str:
    """Return as lines that a shell reads what a result tells later steps.

    Of a plan what an approval shows: digest, number of files, risk; and whether it may lose what no
    undo brings back. Of a rehearsal what it took: REHEARSAL. Of a proof and of a run that left
    nothing the digest of their files: PROVED, APPLIED. HELD: how many files wait for the new code.

    Parameters:
        remarks: what else who approves a plan must know.

    Raises:
        ConfigurationError: the document tells nothing: it is of another command, or failed.
    """
    shown = {} if document["error"] else _told(document, remarks)
    if not shown:
        raise ConfigurationError(
            "this result tells later steps nothing",
            fix="give that of a plan, rehearsal, verify or migrate that succeeded",
        )
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in shown.items())


def _told(document: Document, remarks: Sequence[str]) -> dict[str, str]:
    name = {"verify": "PROVED", "migrate": "APPLIED"}.get(document["command"])
    held = {"HELD": str(len(document.get("held", [])))}
    if name and isinstance(data := document["data"], dict) and "files" in data:
        return {name: str(data["files"]), **({} if name == "PROVED" else held)}
    if tried := rehearsal(document):
        return {"REHEARSAL": _plain(_rehearsed(document, tried), _SHORT)}
    found = plan(document)
    if found is None:  # a run that held something for another reason left no digest
        return held if document["command"] == "migrate" and "held" in document else {}
    return {
        "PLAN_DIGEST": found["digest"],
        "PLAN_PENDING": str(len(found["files"])),
        "PLAN_RISK": _line(document, found, remarks),
        "PLAN_MAY_LOSE": "yes" if any(file["may_lose"] for file in found["files"]) else "no",
        **held,
    }


def _line(document: Document, found: Plan, remarks: Sequence[str]) -> str:
    """Return what a person must know before all else, in one line."""
    seen = verdict(document)
    said = [f"{seen.word}: {seen.sentence}", *remarks]
    forever = [file["file"] for file in found["files"] if file["irreversible"]]
    if forever:
        said.append(f"{many(len(forever), 'file')} cannot be undone: {', '.join(forever)}")
    if waiting := document.get("held"):
        said.append(f"{many(len(waiting), 'file')} held until the new code is deployed")
    hazards = [hazard for file in found["files"] for hazard in file["hazards"]]
    lost = [hazard["text"] for hazard in hazards if hazard["kind"] == "data"]
    if lost:
        said.append(f"data is lost: {', '.join(lost)}")
    rewritten = {
        lock["relation"] for file in found["files"] for lock in file["locks"] if lock["rewrite"]
    }
    if rewritten:
        said.append(f"{many(len(rewritten), 'table')} rewritten: {', '.join(sorted(rewritten))}")
    return _plain("; ".join(said), _LONGEST)


def _rehearsed(document: Document, found: Rehearsal) -> str:
    """Return what a person must know of a rehearsal: how long it took, and held what was in use."""
    if not found["files"]:
        return "; ".join(document["warnings"]) or "nothing to rehearse"
    took = f"{many(len(found['files']), 'file')} took {duration(found['duration_ms'])} on a copy"
    held = max((file.get("held_ms") or 0 for file in found["files"]), default=0)
    return f"passed: {took}, locks held for up to {duration(held)}"


def _plain(text: str, longest: int) -> str:
    """Return a text as a line that CodePipeline takes.

    No text of a file may be taken for a reference to a variable of the pipeline.
    """
    line = " ".join(text.split()).replace("#{", "# {")
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
