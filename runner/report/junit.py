"""The result as JUnit XML, as CodeBuild's report tab shows it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from runner.errors import Error
from runner.report import wording
from runner.report.text import error_lines
from runner.report.wording import clean
from runner.result import Document, Member, Proof


def write(document: Document, path: Path, last_line: str) -> None:
    """Write a document of migrate, rollback, verify or a fleet; folders are made.

    Parameters:
        last_line: the outcome, which is the only case where nothing ran.
    """
    suite = ET.Element("testsuite", name="migrations", time=_seconds(document["duration_ms"]))
    for entry in wording.ran(document):
        _case(suite, entry["file"], entry["duration_ms"])
    for proof in wording.verified(document):
        _proof(suite, proof)
    if found := wording.fleet(document):
        for member in found["members"]:
            _member(suite, member)
    if document["error"] and suite.find("testcase/failure") is None:
        _error(suite, document["error"], document["command"])
    elif len(suite) == 0:
        _case(suite, last_line)
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(suite).write(path, encoding="UTF-8", xml_declaration=True)


def _case(suite: ET.Element, name: str, milliseconds: int = 0) -> ET.Element:
    return ET.SubElement(
        suite, "testcase", classname="migrations", name=clean(name), time=_seconds(milliseconds)
    )


def _proof(suite: ET.Element, proof: Proof) -> None:
    took = sum((proof.get("up_ms", 0), proof.get("down_ms", 0), proof.get("up_again_ms", 0)))
    case = _case(suite, proof["file"], took)
    if proof["problems"]:
        _failure(case, proof["problems"][0], proof["problems"])
    elif proof["irreversible"]:
        ET.SubElement(case, "skipped", message=clean(f"irreversible: {proof['irreversible']}"))


def _member(suite: ET.Element, member: Member) -> None:
    case = _case(suite, member["name"], member["duration_ms"])
    if said := member["error"]:
        _failure(case, said, [f"{member['state']}: {said}"])
    elif member["state"] == "not started":
        ET.SubElement(case, "skipped", message="not started")


def _error(suite: ET.Element, error: Error, command: str) -> None:
    case = _case(suite, Path(error.get("file") or command).name)
    _failure(case, error["message"], error_lines(error))


def _failure(case: ET.Element, message: str, lines: list[str]) -> None:
    ET.SubElement(case, "failure", message=clean(message)).text = clean("\n".join(lines))


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f}"
