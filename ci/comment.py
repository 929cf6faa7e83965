"""Write FOLDER/comment.md as the one comment of a review, in place of that of an earlier push.

GitHub: GITHUB_API_URL, GITHUB_REPOSITORY, PULL_REQUEST and GH_TOKEN say where and as whom.
GitLab: CI_API_V4_URL, CI_PROJECT_ID, CI_MERGE_REQUEST_IID and COMMENT_TOKEN, a project's access
token of scope api, for a job's own may not write notes.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

_MARK = "<!-- schema-migrations -->"
_MOST = 65_000  # characters; GitHub takes 65,536
_LEFT_OUT = "\n\n… more does not fit into a comment: see what the job keeps.\n"


class _Place(NamedTuple):
    """Where a review's comments are, where one of them is, and what changes that."""

    comments: str
    one: str
    change: str
    headers: dict[str, str]


def _place(given: dict[str, str]) -> _Place:
    if "GITHUB_REPOSITORY" in given:
        repository = f"{given['GITHUB_API_URL']}/repos/{given['GITHUB_REPOSITORY']}/issues"
        comments = f"{repository}/{given['PULL_REQUEST']}/comments"
        headers = {
            "Authorization": f"Bearer {given['GH_TOKEN']}",
            "Accept": "application/vnd.github+json",
        }
        return _Place(comments, f"{repository}/comments", "PATCH", headers)
    project = f"{given['CI_API_V4_URL']}/projects/{given['CI_PROJECT_ID']}"
    notes = f"{project}/merge_requests/{given['CI_MERGE_REQUEST_IID']}/notes"
    return _Place(notes, notes, "PUT", {"PRIVATE-TOKEN": given["COMMENT_TOKEN"]})


def _ask(place: _Place, url: str, method: str = "GET", body: str | None = None) -> tuple[Any, str]:
    """Return an answer, and where the next page of it is, if there is one."""
    data = None if body is None else json.dumps({"body": body}).encode()
    headers = {**place.headers, "Content-Type": "application/json"}
    # The job's own service gave the URL.
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        after = re.search(r'<([^>]+)>;\s*rel="next"', answer.headers.get("Link", ""))
        return json.load(answer), after[1] if after else ""


def _comments(place: _Place) -> Iterator[dict[str, Any]]:
    url = f"{place.comments}?per_page=100"
    while url:
        found, url = _ask(place, url)
        yield from found


def _bounded(body: str) -> str:
    """Return a body without the last results where all of them are too long."""
    if len(body) <= _MOST:
        return body
    end = body.rfind("\n### ", 0, _MOST)
    return body[: end if end > 0 else _MOST] + _LEFT_OUT


def main() -> int:
    """Write the comment; return 1 where that is refused."""
    place = _place(dict(os.environ))
    body = _bounded((Path(os.environ["FOLDER"]) / "comment.md").read_text(encoding="utf-8"))
    try:
        ours = next((one for one in _comments(place) if one["body"].startswith(_MARK)), None)
        if ours:
            _ask(place, f"{place.one}/{ours['id']}", place.change, body)
        else:
            _ask(place, place.comments, "POST", body)
    except urllib.error.HTTPError as error:
        said = error.read(500).decode(errors="replace")
        print(f"the comment was not written: {error.url}: {error}: {said}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"the comment was not written: {place.comments}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
