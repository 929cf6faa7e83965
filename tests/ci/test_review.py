"""What GitHub's action and GitLab's template run: each step, one result of all, one comment."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MARK = "<!-- schema-migrations -->"
# Keeps one comment in a file, as GitHub keeps many, and knows nothing of --jq.
GH = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$*" in
    *--paginate*) [ ! -f "$KEPT" ] || echo 7 ;;
    *) for last; do :; done; cp "${last#body=@}" "$KEPT" ;;
esac
"""


def run(script: str, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a script of ci/ as a job would."""
    path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(folder), "FOLDER": str(folder / "review"), **variables}
    return subprocess.run(
        ["bash", ROOT / "ci" / script], cwd=folder, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with migrations that are fine."""
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql/V1__a.sql").write_text("create table a (id bigint primary key);\n")
    (tmp_path / "sql/U1__a.sql").write_text("drop table a;\n")
    return tmp_path


def test_a_review_tells_of_each_step(folder: Path, database: str) -> None:
    done = run("review.sh", folder, DATABASE_URL=database)
    assert done.returncode == 0, done.stdout + done.stderr
    comment = (folder / "review/comment.md").read_text()
    assert comment.startswith(f"{MARK}\n")
    assert comment.count("\n#") == 2
    assert json.loads((folder / "review/lint.sarif").read_text())["runs"][0]["results"] == []


def test_a_step_that_fails_fails_the_review_after_the_others(folder: Path, database: str) -> None:
    (folder / "sql/U1__a.sql").write_text("select 1;\n")
    (folder / "sql/V2__b.sql").write_text("drop table if exists b;\n")
    done = run("review.sh", folder, DATABASE_URL=database)
    assert done.returncode == 7
    assert "cannot be applied again" in (folder / "review/verify.md").read_text()
    assert json.loads((folder / "review/lint.sarif").read_text())["runs"][0]["results"]


def test_github_keeps_one_comment(folder: Path) -> None:
    (folder / "gh").write_text(GH)
    (folder / "gh").chmod(0o755)
    (folder / "review").mkdir()
    calls, kept = folder / "calls", folder / "kept"
    for text in ("first", "second"):
        (folder / "review/comment.md").write_text(f"{MARK}\n{text}")
        variables = {"GITHUB_REPOSITORY": "me/shop", "PULL_REQUEST": "3"}
        done = run("github-comment.sh", folder, CALLS=str(calls), KEPT=str(kept), **variables)
        assert done.returncode == 0, done.stderr
        assert kept.read_text() == f"{MARK}\n{text}"
    written = re.findall(r"--method (\S+ \S+)", calls.read_text())
    comments = "repos/me/shop/issues"
    assert written == [f"POST {comments}/3/comments", f"PATCH {comments}/comments/7"]


class Notes(BaseHTTPRequestHandler):
    """GitLab's notes of one merge request."""

    kept: dict[int, str]
    tokens: set[str | None]

    def do_GET(self) -> None:
        self._answer([{"id": key, "body": body} for key, body in self.kept.items()])

    def do_POST(self) -> None:
        self._keep(len(self.kept) + 1)

    def do_PUT(self) -> None:
        self._keep(int(self.path.rpartition("/")[2]))

    def _keep(self, key: int) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.kept[key] = parse_qs(body)["body"][0]
        self._answer({})

    def _answer(self, document: Any) -> None:
        self.tokens.add(self.headers["PRIVATE-TOKEN"])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def gitlab() -> Iterator[tuple[str, type[Notes]]]:
    """Give the URL of an API with a merge request that somebody has commented on."""
    handler = type("Kept", (Notes,), {"kept": {1: "looks good"}, "tokens": set()})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()
        thread.join()


def test_gitlab_keeps_one_note(folder: Path, gitlab: tuple[str, type[Notes]]) -> None:
    url, notes = gitlab
    (folder / "review").mkdir()
    for text in ("first", "a=1&b +%"):
        (folder / "review/comment.md").write_text(f"{MARK}\n{text}")
        variables = {"CI_API_V4_URL": url, "CI_PROJECT_ID": "5", "CI_MERGE_REQUEST_IID": "3"}
        done = run("gitlab-comment.sh", folder, COMMENT_TOKEN="secret", **variables)
        assert done.returncode == 0, done.stderr
    assert notes.kept == {1: "looks good", 2: f"{MARK}\na=1&b +%"}
    assert notes.tokens == {"secret"}


@pytest.mark.parametrize("name", ["action.yml", "ci/gitlab.yml"])
def test_what_a_job_runs_of_this_project_is_there(name: str) -> None:
    text = (ROOT / name).read_text()
    scripts = re.findall(r"(?:GITHUB_ACTION_PATH|/tmp/migrations)/([\w./-]+\.sh)", text)
    assert len(scripts) == 2
    assert [script for script in scripts if not (ROOT / script).is_file()] == []
    extras = re.search(r"\[([\w,]+)\]\"", text)
    assert extras
    assert extras[1] == "aws,lint,verify"


def test_no_text_of_a_pull_request_becomes_a_part_of_a_script() -> None:
    for step in yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]:
        assert "${{" not in step["run"]
