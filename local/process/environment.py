"""What a process may inherit from the caller: the way to the machine and its network, no more."""

import os
import re
from pathlib import Path

# Where a machine reaches the world through a proxy or an authority of its own, so must a build.
_NETWORK = re.compile(
    r"SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|(HTTPS?|ALL)_PROXY|PIP_.*|UV_.*", re.IGNORECASE
)


def basics(home: Path, tmp: Path) -> dict[str, str]:
    """Return a process's environment without any AWS setting; HOME and TMPDIR are these."""
    network = {name: value for name, value in os.environ.items() if _NETWORK.fullmatch(name)}
    direct = ",".join(
        filter(None, (os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1"))
    )
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "TMPDIR": str(tmp),
        "LANG": "C.UTF-8",
        "NO_PROXY": direct,
        "no_proxy": direct,
        **network,
    }
