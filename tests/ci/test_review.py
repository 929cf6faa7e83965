"""What GitHub's action and GitLab's template run: each step, one result of all, one comment."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MARK = "<!-- schema-migrations -->"


def run(script: str, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a script of ci/ as a job would."""
    path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(folder), "FOLDER": str(folder / "review"), **variables}
    by = sys.executable if script.endswith(".py") else "bash"
    return subprocess.run(
        [by, ROOT / "ci" / script], cwd=folder, env=environment, capture_output=True, text=True,
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


class Comments(BaseHTTPRequestHandler):
    """The comments of one review, two a page, as both services list, make and change them."""

    kept: dict[int, str]
    tokens: set[str | None]

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        page = int(parse_qs(url.query).get("page", ["1"])[0])
        found = [{"id": key, "body": body} for key, body in self.kept.items()]
        more = found[2 * page :]
        after = f"http://{self.headers['Host']}{url.path}?per_page=100&page={page + 1}"
        link = {"Link": f'<{after}>; rel="next", <{after}>; rel="last"'} if more else {}
        self._answer(found[2 * page - 2 : 2 * page], **link)

    def do_POST(self) -> None:
        self._keep(len(self.kept) + 1)

    def do_PUT(self) -> None:
        self._keep(int(self.path.rpartition("/")[2]))

    def do_PATCH(self) -> None:
        self.do_PUT()

    def _keep(self, key: int) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"]
        if len(body) > 65_536:
            self._answer({"message": "Body is too long"}, 422)
        else:
            self.kept[key] = body
            self._answer({"id": key})

    def _answer(self, document: Any, status: int = 200, **headers: str) -> None:
        self.tokens.add(self.headers["Authorization"] or self.headers["PRIVATE-TOKEN"])
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[tuple[str, type[Comments]]]:
    """Give the URL of an API with a review that somebody has commented on, more than a page."""
    others = {1: "looks good", 2: "to me", 3: "too"}
    handler = type("Kept", (Comments,), {"kept": dict(others), "tokens": set()})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()
        thread.join()


# The variables of each service's jobs that its documentation names, and the token as it is sent.
SERVICES = {
    "github": ({"GITHUB_API_URL": "", "GITHUB_REPOSITORY": "me/shop", "PULL_REQUEST": "3",
                "GH_TOKEN": "secret"}, "Bearer secret"),
    "gitlab": ({"CI_API_V4_URL": "", "CI_PROJECT_ID": "5", "CI_MERGE_REQUEST_IID": "3",
                "COMMENT_TOKEN": "secret"}, "secret"),
}  # fmt: skip


def variables(service: str, url: str) -> dict[str, str]:
    """Return the variables of a job whose API is at a URL."""
    return {name: value or url for name, value in SERVICES[service][0].items()}


@pytest.mark.parametrize("name", SERVICES)
def test_a_review_keeps_one_comment(
    folder: Path, service: tuple[str, type[Comments]], name: str
) -> None:
    url, comments = service
    (folder / "review").mkdir()
    for text in ("first", "a=1&b +% é"):
        (folder / "review/comment.md").write_text(f"{MARK}\n{text}")
        done = run("comment.py", folder, **variables(name, url))
        assert done.returncode == 0, done.stderr
    others = {1: "looks good", 2: "to me", 3: "too"}
    assert comments.kept == {**others, 4: f"{MARK}\n{text}"}
    assert comments.tokens == {SERVICES[name][1]}


def test_a_comment_that_would_be_too_long_loses_its_last_results(
    folder: Path, service: tuple[str, type[Comments]]
) -> None:
    url, comments = service
    (folder / "review").mkdir()
    parts = [f"### {word}\n{'x' * 40_000}\n" for word in ("lint", "verify")]
    (folder / "review/comment.md").write_text("\n".join([MARK, *parts]))
    assert run("comment.py", folder, **variables("github", url)).returncode == 0
    assert comments.kept[4].startswith(f"{MARK}\n{parts[0]}")
    assert comments.kept[4].endswith(
        "… more does not fit into a comment: see what the job keeps.\n"
    )
    assert "verify" not in comments.kept[4]


def test_a_comment_that_is_refused_says_by_whom(folder: Path) -> None:
    (folder / "review").mkdir()
    (folder / "review/comment.md").write_text(MARK)
    done = run("comment.py", folder, **variables("gitlab", "http://127.0.0.1:1"))
    assert done.returncode == 1
    assert done.stderr.startswith("the comment was not written: http://127.0.0.1:1/projects/5/")


@pytest.fixture
def pushed(folder: Path, database: str, service: tuple[str, type[Comments]]) -> dict[str, str]:
    """Make a clone with a branch to merge; give what the jobs of both services have."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-C", str(folder)]
    (folder / "sql/V2__b.sql").write_text("create table b (id bigint primary key);\n")
    (folder / "sql/U2__b.sql").write_text("drop table b;\n")
    for words in (["init", "-qb", "main"], ["add", "sql"], ["commit", "-qm", "a"],
                  ["update-ref", "refs/remotes/origin/main", "HEAD"]):  # fmt: skip
        subprocess.run([*git, *words], check=True)
    tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {
        "PATH": tools, "HOME": str(folder), "DATABASE_URL": database, "LANG": "C.UTF-8",
        # It is installed here; pip is to find out that it could be, by what is there (0 is its no).
        "PIP_DRY_RUN": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }  # fmt: skip


def test_each_step_of_githubs_action_runs_as_the_service_runs_it(
    folder: Path, pushed: dict[str, str], service: tuple[str, type[Comments]]
) -> None:
    """The steps' own text in the shell that a composite action's `bash` is."""
    url, comments = service
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    given = {
        "inputs.sql-dir": "sql", "inputs.function": "", "inputs.token": "secret",
        "github.base_ref && format('origin/{0}', github.base_ref)": "origin/main",
        "github.event.number": "3", "runner.temp": str(folder / "temp"),
    }  # fmt: skip
    pushed |= {
        "GITHUB_ACTION_PATH": str(ROOT), "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary"), "GITHUB_API_URL": url,
        "GITHUB_REPOSITORY": "me/shop", "CI": "true", "GITHUB_ACTIONS": "true",
    }  # fmt: skip
    for step in action["runs"]["steps"]:
        own = {
            name: re.sub(r"\$\{\{ (.*?) \}\}", lambda found: given[found[1]], value)
            for name, value in step.get("env", {}).items()
        }
        script = folder / "step.sh"
        script.write_text(step["run"])
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", script]
        done = subprocess.run(
            shell, cwd=folder, env=pushed | own, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, step["name"] + done.stdout + done.stderr
    name, _, sarif = (folder / "output").read_text().strip().partition("=")
    assert action["outputs"][name]["value"] == "${{ steps.review.outputs.sarif }}"
    assert json.loads(Path(sarif).read_text())["runs"]
    assert comments.kept[4].startswith(MARK)
    assert comments.kept[4] == (folder / "summary").read_text()


def test_gitlabs_job_runs_as_the_service_runs_it(
    folder: Path, pushed: dict[str, str], service: tuple[str, type[Comments]], tmp_path: Path
) -> None:
    """Its lines in one shell, those after it in another, with the job's variables."""
    url, comments = service
    source = tmp_path / "source"
    shutil.copytree(ROOT / "ci", source / "ci")
    shutil.copytree(
        ROOT / "runner", source / "runner", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-C", str(source)]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "a"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    job = yaml.safe_load((ROOT / "ci/gitlab.yml").read_text())["review-migrations"]
    target = {"$CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"}
    own = {
        name: str(value).replace(*next(iter(target.items())))
        for name, value in job["variables"].items()
    }
    pushed |= own | variables("gitlab", url) | {
        "MIGRATIONS_SOURCE": str(source), "MIGRATIONS_COMMIT": commit.stdout.strip(), "CI": "true",
    }  # fmt: skip
    for lines in (job["script"], job["after_script"]):
        text = "\n".join(lines).replace("/tmp/migrations", str(tmp_path / "migrations"))
        shell = ["bash", "-eo", "pipefail", "-c", text]
        done = subprocess.run(
            shell, cwd=folder, env=pushed, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert comments.kept[4] == (folder / "review/comment.md").read_text()
    kept = [folder / name for name in job["artifacts"]["reports"]["junit"]]
    assert all(path.is_file() for path in kept)


@pytest.mark.parametrize("name", ["action.yml", "ci/gitlab.yml"])
def test_what_a_job_runs_of_this_project_is_there(name: str) -> None:
    text = (ROOT / name).read_text()
    scripts = re.findall(r"(?:GITHUB_ACTION_PATH|/tmp/migrations)/([\w./-]+\.(?:sh|py))", text)
    assert len(scripts) == 2
    assert [script for script in scripts if not (ROOT / script).is_file()] == []
    extras = re.search(r"\[([\w,]+)\]\"", text)
    assert extras
    assert extras[1] == "aws,lint,verify"


def test_no_text_of_a_pull_request_becomes_a_part_of_a_script() -> None:
    for step in yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]:
        assert "${{" not in step["run"]
