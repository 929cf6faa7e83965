"""What the site has besides docs/: the pages of the repository's root, and links between them.

In the repository a page links to files; on the site a link that leads to no page is a plain word.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

_ROOT = Path(__file__).parent.parent
# Pages of the root by their name on the site.
_FROM_ROOT = {
    "README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md",
    "SECURITY.md": "SECURITY.md",
}  # fmt: skip
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s]*)(#[^)\s]+)?\)")


def on_config(config: Any) -> Any:
    """List the decisions by their numbers."""
    pages = [f"decisions/{path.name}" for path in sorted((_ROOT / "docs/decisions").glob("*.md"))]
    config.nav = [
        {"Decisions": pages} if entry == {"Decisions": "decisions"} else entry
        for entry in config.nav
    ]
    return config


def on_files(files: Any, *, config: Any) -> Any:
    """Add the pages of the root."""
    for name, page in _FROM_ROOT.items():
        text = (_ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001
    """Lead links to pages of the site, and leave the others out."""
    here = posixpath.dirname(page.file.src_uri)

    def led(link: re.Match[str]) -> str:
        text, path, anchor = link[1], link[2], link[3] or ""
        if path.startswith("https://") or not path:
            return link[0]
        target = posixpath.normpath(posixpath.join(here, path)).removeprefix("../")
        target = _FROM_ROOT.get(target, target)
        if files.get_file_from_path(target) is None:
            return text
        return f"[{text}]({posixpath.relpath(target, here or '.')}{anchor})"

    return _LINK.sub(led, markdown)
