"""AWS's session-manager-plugin: it carries the data of a session that was started by API.

It is handed over as the AWS CLI does, without the CLI: the answer of StartSession, which holds the
session's token, is in an environment variable whose name is the first argument. Arguments can be
read by everyone on the machine, the environment by its owner only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import Any

Document = dict[str, Any]

PLUGIN = "session-manager-plugin"
VARIABLE = "AWS_SSM_START_SESSION_RESPONSE"
LAST_WITH_TOKEN_IN_ARGUMENTS = (1, 2, 497, 0)
INSTALL = (
    "https://docs.aws.amazon.com/systems-manager/latest/userguide/"
    "session-manager-working-with-install-plugin.html"
)


class PluginError(Exception):
    """The plugin is missing or too old; the message says what to do."""


def find_plugin() -> str:
    """Return the plugin's path.

    Raises:
        PluginError: it is not on PATH, or it would take the token as an argument.

    """
    path = shutil.which(PLUGIN)
    if not path:
        raise PluginError(f"{PLUGIN} is not installed: {INSTALL}")
    said = subprocess.run([path, "--version"], check=False, capture_output=True, text=True).stdout
    version = tuple(int(number) for number in re.findall(r"\d+", said))
    if version <= LAST_WITH_TOKEN_IN_ARGUMENTS:
        raise PluginError(
            f"{path} has the version {said.strip() or 'unknown'}, which shows the session's token "
            f"to everyone on this machine. Install a newer one: {INSTALL}"
        )
    return path


def arguments(request: Document, *, region: str, endpoint: str, profile: str = "") -> list[str]:
    """Return the plugin's arguments for a session started with `request`.

    Region, profile and endpoint are those of the client that started it: the plugin resumes an
    interrupted session with them.
    """
    return [VARIABLE, region, "StartSession", profile, json.dumps(request), endpoint]


def environment(answer: Document, credentials: dict[str, str | None]) -> dict[str, str]:
    """Return the plugin's environment: ours, the session's token and its owner's credentials.

    `credentials` are environment variables of AWS; None leaves what we have. A profile of ours
    would compete with them.
    """
    given = {name: value for name, value in credentials.items() if value}
    ours = {k: v for k, v in os.environ.items() if not (given and k == "AWS_PROFILE")}
    session = {key: answer[key] for key in ("SessionId", "TokenValue", "StreamUrl")}
    return {**ours, **given, VARIABLE: json.dumps(session)}
