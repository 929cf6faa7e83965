"""Run a buildspec as CodeBuild does: its phases, its environment, its idea of failure."""

import contextlib
import dataclasses
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Self
from xml.etree import ElementTree as ET

from local.codebuild.buildspec import PHASES, Buildspec, Phase, find
from local.errors import LocalError

# Phases whose failure CodeBuild does not let the next phase follow; after `build`, post_build runs.
_ENDS_BUILD = {"install", "pre_build"}
# On CodeBuild's images sh is bash as well.
_SHELLS = {"sh": ("bash", "--posix"), "bash": ("bash",)}


def say(text: str) -> None:
    """Say something of a build."""
    sys.stderr.write(f"[build] {text}\n")
    sys.stderr.flush()


class Outcome(NamedTuple):
    """Whether a build succeeded, and the variables that it exports."""

    succeeded: bool
    exported: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Build:
    """One build: what to do, where, and with which environment (and no other)."""

    spec: Buildspec
    folder: Path
    environment: Mapping[str, str]
    say: Callable[[str], None] = say

    def run(self) -> Outcome:
        """Run all phases; return what came of them."""
        began = time.time()
        succeeded = True
        with _Shell(
            self.spec.shell, self.folder, {**self.spec.variables, **self.environment}
        ) as shell:
            for name in PHASES:
                if name not in self.spec.phases:
                    continue
                phase = self.spec.phases[name]
                shell.run(f"export CODEBUILD_BUILD_SUCCEEDING={int(succeeded)}")
                passed = self._phase(shell, name, phase)
                succeeded = succeeded and passed
                go_on = name not in _ENDS_BUILD if phase.go_on is None else phase.go_on
                if not passed and not go_on:
                    break
            exported = shell.variables()
        succeeded = self._reports(began) and succeeded
        self.say(f"build {'succeeded' if succeeded else 'FAILED'}")
        # As they are after the last phase; what no command exported is not there.
        return Outcome(
            succeeded, {name: exported[name] for name in self.spec.exported if name in exported}
        )

    def _phase(self, shell: "_Shell", name: str, phase: Phase) -> bool:
        """Run a phase: commands up to the first that fails, then `finally`; say how it went."""
        self.say(f"phase {name}")
        passed = self._commands(shell, phase.commands)
        cleaned = self._commands(shell, phase.finally_)
        if not (passed and cleaned):
            self.say(f"phase {name} FAILED")
        return passed and cleaned

    def _commands(self, shell: "_Shell", commands: tuple[str, ...]) -> bool:
        for command in commands:
            self.say(f"$ {command.strip()}")
            if status := shell.run(command):
                self.say(f"exit status {status}: {command.strip().splitlines()[0]}")
                return False
        return True

    def _reports(self, began: float) -> bool:
        """Say what the JUnit files of this build hold; older files are not of this build.

        A report without a file is INCOMPLETE, by CodeBuild's User Guide, "Test reports". What that
        does to the build no document says: here it fails.
        """
        complete = True
        for report in self.spec.reports:
            files = find(report, self.folder, began)
            said = _summary(files) if files else "INCOMPLETE, there is no file"
            self.say(f"report {report.name}: {said}")
            complete = complete and bool(files)
        return complete


def _summary(files: list[Path]) -> str:
    """Count the test cases of JUnit files."""
    cases = failures = 0
    for path in files:
        try:
            root = ET.parse(path).getroot()  # noqa: S314 (our own file)
        except ET.ParseError as error:
            raise LocalError(f"{path} is not a JUnit report: {error}") from error
        for case in root.iter("testcase"):
            cases += 1
            failures += any(child.tag in {"failure", "error"} for child in case)
    return f"{cases} cases, {failures} failed ({', '.join(str(path.name) for path in files)})"


class _Shell:
    """One shell for all commands of a build, so that `cd` and `export` last, as in CodeBuild.

    A command that exits the shell has that status; the next one gets a new shell.
    """

    def __init__(self, shell: str, folder: Path, environment: Mapping[str, str]) -> None:
        if shell not in _SHELLS:
            raise LocalError(f"buildspec.yml: shell must be sh or bash, not {shell}")
        self._shell = _SHELLS[shell]
        self._folder = folder
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._scripts = tempfile.TemporaryDirectory(dir=environment.get("TMPDIR"))
        self._status, self._reply = -1, -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self._scripts.cleanup()

    def run(self, command: str) -> int:
        """Run one command, its output going to ours; return its exit status."""
        process = self._process or self._open()
        script = Path(self._scripts.name) / "command"
        script.write_text(command + "\n")
        line = f". {shlex.quote(str(script))} </dev/null; echo $? >&{self._reply}\n"
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(line.encode())
            process.stdin.flush()
        if status := os.read(self._status, 16):
            return int(status)
        ended = process.wait()  # the command ended the shell
        self._close()
        return ended or 1  # a build's command has no business ending the shell

    def variables(self) -> dict[str, str]:
        """Return what the commands so far have exported."""
        told = Path(self._scripts.name) / "variables"
        if not self._process or self.run(f"env -0 > {shlex.quote(str(told))}"):
            return {}
        pairs = told.read_bytes().decode(errors="replace").split("\0")
        return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}

    def _open(self) -> "subprocess.Popen[bytes]":
        self._status, self._reply = os.pipe()
        os.set_inheritable(self._reply, True)
        self._process = subprocess.Popen(
            self._shell,
            cwd=self._folder,
            env=dict(self._environment),
            stdin=subprocess.PIPE,
            pass_fds=[self._reply],
        )
        os.close(self._reply)
        return self._process

    def _close(self) -> None:
        if self._process:
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait()
            os.close(self._status)
            self._process = None
