"""buildspec.yml, version 0.2, as far as a pipeline step needs it; anything else is refused."""

import dataclasses
from pathlib import Path
from typing import Any

import yaml

from local.errors import LocalError

PHASES = ("install", "pre_build", "build", "post_build")
_KEYS = {"version", "env", "phases", "reports", "artifacts", "cache"}
_PHASE_KEYS = {"commands", "finally", "on-failure", "runtime-versions"}


@dataclasses.dataclass(frozen=True)
class Phase:
    """The commands of one phase, and those that run after them in any case."""

    commands: tuple[str, ...] = ()
    finally_: tuple[str, ...] = ()
    go_on: bool | None = None  # on-failure: CONTINUE or ABORT; None is CodeBuild's own way


@dataclasses.dataclass(frozen=True)
class Report:
    """Test results that a build leaves behind."""

    name: str
    folder: str
    files: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Buildspec:
    """What one build does."""

    variables: dict[str, str]
    exported: tuple[str, ...]
    shell: str
    phases: dict[str, Phase]
    reports: tuple[Report, ...]


def parse(text: str, name: str = "buildspec.yml") -> Buildspec:
    """Read a buildspec.

    Raises:
        LocalError: it is not one, or asks for something that is not supported here.

    """
    try:
        return _read(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError) as error:
        raise LocalError(f"{name}: {' '.join(str(error).split())}") from error


def _read(document: Any) -> Buildspec:
    _require(isinstance(document, dict), "not a mapping")
    _require(str(document.get("version")) == "0.2", "version must be 0.2")
    _known(document, _KEYS, "the top")
    env = _mapping(document.get("env"), "env")
    _known(env, {"shell", "variables", "exported-variables"}, "env")
    phases = _mapping(document.get("phases"), "phases")
    _known(phases, set(PHASES), "phases")
    reports = _mapping(document.get("reports"), "reports")
    return Buildspec(
        variables={
            key: str(value) for key, value in _mapping(env.get("variables"), "variables").items()
        },
        exported=_strings(env.get("exported-variables", []), "exported-variables"),
        shell=str(env.get("shell", "sh")),
        phases={key: _phase(key, value) for key, value in phases.items()},
        reports=tuple(_report(key, value) for key, value in reports.items()),
    )


def _phase(name: str, value: Any) -> Phase:
    phase = _mapping(value, name)
    _known(phase, _PHASE_KEYS, name)
    go_on = phase.get("on-failure")
    _require(go_on in {None, "ABORT", "CONTINUE"}, f"{name}: on-failure is ABORT or CONTINUE")
    return Phase(
        commands=_strings(phase.get("commands", []), f"{name}.commands"),
        finally_=_strings(phase.get("finally", []), f"{name}.finally"),
        go_on=None if go_on is None else go_on == "CONTINUE",
    )


def _report(name: str, value: Any) -> Report:
    report = _mapping(value, name)
    _known(report, {"files", "base-directory", "file-format", "discard-paths"}, f"reports.{name}")
    _require(report.get("file-format", "JUNITXML") == "JUNITXML", "file-format must be JUNITXML")
    return Report(
        name=name,
        folder=str(report.get("base-directory", ".")),
        files=_strings(report.get("files", []), f"reports.{name}.files"),
    )


def _mapping(value: Any, name: str) -> dict[str, Any]:
    _require(value is None or isinstance(value, dict), f"{name} must be a mapping")
    return value or {}


def _strings(value: Any, name: str) -> tuple[str, ...]:
    _require(
        isinstance(value, list) and all(isinstance(item, str) for item in value),
        f"{name} must be a list of strings",
    )
    return tuple(value)


def _known(mapping: dict[str, Any], keys: set[str], where: str) -> None:
    unknown = ", ".join(sorted(mapping.keys() - keys))
    _require(not unknown, f"not supported in {where}: {unknown}")


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


def find(report: Report, folder: Path, since: float) -> list[Path]:
    """Return the report's files in a build's folder that are not older than `since`."""
    base = folder / report.folder
    found = {path for pattern in report.files for path in base.glob(pattern) if path.is_file()}
    return sorted(path for path in found if path.stat().st_mtime >= since)
