"""A plan with what its rehearsal measured, in place of what would be estimated."""

from __future__ import annotations

from runner.report import wording
from runner.result import Document


def rehearsed(document: Document, rehearsal: Document) -> None:
    """Let a plan say of each file how long it took on a copy, where it is that file still.

    Whatever is no plan, or was rehearsed by nobody, stays as it is.
    """
    plan, found = wording.plan(document), wording.rehearsal(rehearsal)
    if plan is None or found is None:
        return
    took = {(entry["file"], entry["checksum"]): entry for entry in found["files"]}
    texts = {task["file"]: task["checksum"] for task in document["pending"]}
    for file in plan["files"]:
        if entry := took.get((file["file"], texts.get(file["file"], ""))):
            ms = entry["duration_ms"]
            file["takes"] = {"ms": ms, "least_ms": ms, "most_ms": ms, "runs": 0, "rehearsed": True}
