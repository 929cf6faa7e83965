"""What of this works on Linux only, said in one place.

Processes, their environment and who holds a port are asked of psutil, which knows other systems
too. The rest is in `LINUX_ONLY`; nothing of it was ever tried elsewhere.
"""

import platform

from local.errors import LocalError

LINUX_ONLY = (
    "the Lambda's package, which runs here as it is on AWS, holds wheels for Linux",
    "the emulated Aurora lets in checked tokens from the loopback address 127.0.0.2",
    "root starts PostgreSQL in a user namespace (unshare)",
)


def require_linux() -> None:
    """Refuse another system before anything is started.

    Raises:
        LocalError: this is not Linux; it names what needs it.

    """
    if (system := platform.system()) != "Linux":
        raise LocalError(
            f"this is {system or 'an unknown system'}, and the local stack needs Linux: "
            f"{'; '.join(LINUX_ONLY)}"
        )
