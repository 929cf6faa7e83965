"""The tutorial, followed literally by somebody who has an empty folder and the wheel."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/tutorial.md"
# What differs each time, and how wide that makes its column.
VARIES = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "<time>"),
    (r"\b\d+(\.\d)? m?s\b", "<duration>"),
    (r"\b\w+-[0-9a-f]{8}\b", "<run>"),
    (r"runner_verify_\w+", "<scratch>"),
    (r" *-{2,}", " --"),
    (r"[ \t]+", " "),
    (r"\[y/N\]\s*", "[y/N]\n"),  # Enter was pressed before it was asked for
)


class Block(NamedTuple):
    """A block of the page: its language, its text, and the file that the words before it name."""

    language: str
    text: str
    file: str


def blocks() -> Iterator[Block]:
    """Give what the page asks a reader to write and to type."""
    page = PAGE.read_text().partition("## The same in the pipeline")[0]
    for found in re.finditer(r"([^\n]*)\n\n```(\w+)\n(.*?)```", page, re.DOTALL):
        named = re.findall(r"`(sql/[^`]+)`", found[1])
        yield Block(found[2], found[3], named[-1] if named else "")


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Give each command of a console with what it shows."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


def normal(text: str) -> str:
    """Return what a terminal shows in the end, but for what differs each time."""
    text = re.sub(r"^.*\r(\x1b\[K)?", "", text.replace("\r\n", "\n"), flags=re.MULTILINE)
    for pattern, word in VARIES:
        text = re.sub(pattern, word, text)
    return "\n".join(line.strip() for line in text.strip().splitlines())


def shows(expected: str, shown: str) -> bool:
    """Whether a page shows what a terminal does; a line of … stands for any."""
    parts = [re.escape(part.strip("\n")) for part in re.split(r"^…$", expected, flags=re.MULTILINE)]
    return re.fullmatch(".*".join(parts), shown, re.DOTALL) is not None


def on_a_terminal(script: str, folder: Path) -> str:
    """Run a script as if somebody typed it, and return all that was shown."""
    environment = {
        "PATH": f"{Path(sys.executable).resolve().parent}:{os.environ['PATH']}",
        "HOME": os.environ["HOME"], "USER": "me", "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "120",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1", "LANG": "C.UTF-8",
    }  # fmt: skip
    ours, theirs = pty.openpty()
    os.write(ours, b"\n")  # who is asked presses Enter
    with subprocess.Popen(
        ["bash", "-c", script], cwd=folder, env=environment,
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    ):  # fmt: skip
        os.close(theirs)
        parts = []
        try:
            while part := os.read(ours, 65536):
                parts.append(part)
        except OSError:  # how Linux tells that nobody has the terminal any more
            pass
        os.close(ours)
    return b"".join(parts).decode()


def test_tutorial_does_what_it_says(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    subprocess.run([*build, str(tmp_path / "path")], cwd=ROOT, check=True, capture_output=True)
    folder = tmp_path / "empty"
    folder.mkdir()
    script, expected = [], []
    for block in blocks():
        if block.language == "sql":
            script.append(f"cat > {block.file} <<'END'\n{block.text}END")
            continue
        typed = [(block.text, "…")] if block.language == "sh" else commands(block.text)
        for command, shown in typed:
            script.append(f"printf '\\036'\n{command.replace('path/to', str(tmp_path / 'path'))}")
            expected.append((command, normal(shown)))
    found = [normal(text) for text in on_a_terminal("\n".join(script), folder).split("\036")[1:]]
    assert len(found) == len(expected) > 10
    for (command, page), shown in zip(expected, found, strict=True):
        assert shows(page, shown), f"{command}\n--- the page:\n{page}\n--- it showed:\n{shown}"
    assert not (folder / ".postgres").exists()
