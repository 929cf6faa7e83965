"""What later steps of a pipeline are told of a result: a few variables of one line each."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from runner.errors import ConfigurationError
from runner.report.wording import (
    Verdict,
    duration,
    fleet,
    many,
    of_plan,
    outlook,
    plan,
    rehearsal,
    verdict,
    weight,
    witness,
)
from runner.result import Document, Fleet, Group, Plan, Rehearsal

# Characters, of a plan's risk and of a rehearsal. CodePipeline takes 1000 in all of what an
# approval says, around these as well: digest, what of the infrastructure would change, its link.
_LONGEST = 350
_SHORT = 100
_NAME = 30  # characters of a target
_UNSEEN = 9
_GROUPS = 3  # of a fleet: a build's variables have 1000 characters in all, too


def variables(document: Document, remarks: Sequence[str] = ()) -> str:
    """Return as lines that a shell reads what a result tells later steps.

    Of a plan what an approval shows: digest, number of files, risk; and whether it may lose what no
    undo brings back. Of a fleet the same: the digest is those of all groups, the risk what the
    first target of each sees. Of a rehearsal what it took: REHEARSAL. Of a proof and of a run that
    left nothing the digest of their files: PROVED, APPLIED. HELD: how many files wait for the new
    code.

    Parameters:
        remarks: what else who approves a plan must know.

    Raises:
        ConfigurationError: the document tells nothing: it is of another command, or failed.
    """
    shown = {} if document["error"] else _told(document, remarks)
    if not shown:
        raise ConfigurationError(
            "this result tells later steps nothing",
            fix="give that of a plan, rehearsal, verify or migrate that succeeded, also of a fleet",
        )
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in shown.items())


def _told(document: Document, remarks: Sequence[str]) -> dict[str, str]:
    name = {"verify": "PROVED", "migrate": "APPLIED"}.get(document["command"])
    waiting = len(document.get("held", []))
    held = {"HELD": str(waiting)}
    if name and isinstance(data := document["data"], dict) and "files" in data:
        return {name: str(data["files"]), **({} if name == "PROVED" else held)}
    if members := fleet(document):
        return _of_fleet(document["command"], members, remarks)
    if tried := rehearsal(document):
        return {"REHEARSAL": _plain(_rehearsed(document, tried), _SHORT)}
    found = plan(document)
    if found is None:  # a run that held something for another reason left no digest
        return held if document["command"] == "migrate" and "held" in document else {}
    return {
        "PLAN_DIGEST": found["digest"],
        "PLAN_PENDING": str(len(found["files"])),
        "PLAN_RISK": _plain(_risk(verdict(document), found, waiting, remarks), _LONGEST),
        "PLAN_MAY_LOSE": "yes" if _may_lose(found) else "no",
        **held,
    }


def _may_lose(found: Plan) -> bool:
    return any(file["may_lose"] for file in found["files"])


def _of_fleet(command: str, found: Fleet, remarks: Sequence[str]) -> dict[str, str]:
    if command == "fleet migrate":
        carried = {"APPLIED": found["carried"]} if "carried" in found else {}
        return {**carried, "HELD": str(found["held"])} if "held" in found else {}
    if command != "fleet plan":
        return {}
    groups = found["groups"]
    if len(groups) > _GROUPS:
        raise ConfigurationError(
            f"the targets are in {len(groups)} states, and an approval carries {_GROUPS} digests",
            fix="bring those that are behind to the others' version first, or leave them out",
        )
    running = sorted((group for group in groups if group["files"]), key=_calm)
    lost = any("plan" not in group or _may_lose(group["plan"]) for group in running)
    said = [many(len(found["members"]), "target"), *remarks, *map(_of_group, running)]
    return {
        "PLAN_DIGEST": ",".join(group["digest"] for group in groups),
        "PLAN_PENDING": str(len({file for group in running for file in group["files"]})),
        "PLAN_RISK": _plain("; ".join(said), _LONGEST),
        "PLAN_MAY_LOSE": "yes" if lost else "no",
        "HELD": str(max((group.get("held", 0) for group in groups), default=0)),
    }


def _calm(group: Group) -> int:
    """Return what orders groups: what nobody looked at and what blocks come first, before a cut."""
    return -weight(outlook(of_plan(group["plan"]))) if "plan" in group else -_UNSEEN


def _of_group(group: Group) -> str:
    """Return what a person must know of the targets in one state."""
    where = f"{group['targets']:,} at {group['version'] or 'nothing yet'}"
    if "plan" not in group:
        return f"{where}: not looked at closely"
    found, held = group["plan"], group.get("held", 0)
    seen = _risk(outlook(of_plan(found)), found, held, ())
    # A name is what somebody wrote, and must not take the place of what is said.
    return f"{where}, as {witness(group)[:_NAME]} sees it: {seen}"


def _risk(seen: Verdict, found: Plan, held: int, remarks: Sequence[str]) -> str:
    """Return what a person must know before all else, in one line."""
    said = [f"{seen.word}: {seen.sentence}", *remarks]
    forever = [file["file"] for file in found["files"] if file["irreversible"]]
    if forever:
        said.append(f"{many(len(forever), 'file')} cannot be undone: {', '.join(forever)}")
    if held:
        said.append(f"{many(held, 'file')} held until the new code is deployed")
    hazards = [hazard for file in found["files"] for hazard in file["hazards"]]
    lost = [hazard["text"] for hazard in hazards if hazard["kind"] == "data"]
    if lost:
        said.append(f"data is lost: {', '.join(lost)}")
    rewritten = {
        lock["relation"] for file in found["files"] for lock in file["locks"] if lock["rewrite"]
    }
    if rewritten:
        said.append(f"{many(len(rewritten), 'table')} rewritten: {', '.join(sorted(rewritten))}")
    return "; ".join(said)


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
