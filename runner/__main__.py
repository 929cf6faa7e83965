"""`runner` and `python -m runner`: an interrupt while Python still imports ends as any other."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Run the command line and return its exit code."""
    ended = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        from runner.cli import main as run  # noqa: PLC0415 - what takes long comes inside

        return run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, ended)


if __name__ == "__main__":
    sys.exit(main())
