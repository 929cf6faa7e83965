"""What a pipeline is told of the tasks that would change something."""

from __future__ import annotations

import re

MOST = 200  # characters; the whole text of an approval has 1000, a link and a plan's risk in it
_UNSAFE = re.compile(r"[^A-Za-z0-9 .,:_-]+")


def told(names: list[str]) -> str:
    """Return lines for a shell: the number of the tasks, and a text with their names.

    A name may have been written to deceive. What a shell, JSON or a terminal would take for
    something else becomes a space, and a long text is cut.
    """
    clean = [" ".join(_UNSAFE.sub(" ", name).split()) for name in names]
    count = f"{len(names)} {'task' if len(names) == 1 else 'tasks'} would change something"
    text = f"{count}: {', '.join(clean)}" if names else "nothing would change"
    if len(text) > MOST:
        text = text[: MOST - 4].rstrip(" ,") + " ..."
    return f"export CHANGED='{len(names)}'\nexport CHANGES='{text}'\n"
