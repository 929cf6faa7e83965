"""A campaign of faults: `make torture`, or `python -m torture --seed 7 --only 41` for one event."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from torture.campaign import Campaign, Event, Tally
from torture.kinds import KINDS
from torture.world import World

_PER_VARIANT = 40  # events
_TELL = 100  # events after which it says how far it is


def main() -> int:
    """Run a campaign, print its figures, and return 1 where something was wrong."""
    asked = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # nothing of it stays
    tally, began = Tally(), time.monotonic()
    print(f"seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="torture-") as home:
        world = World(Path(home), clocks=any(KINDS[kind].clocks for kind in asked.kinds))
        with world.running():
            variants = asked.variants or max(4, asked.events // _PER_VARIANT)
            campaign = Campaign(world, asked.seed, variants=variants, kinds=asked.kinds)
            for event in _events(campaign, asked, began):
                tally.add(event)
                _say(event, verbose=asked.verbose)
                if not tally.count % _TELL:
                    print(f"… {tally.count} events", flush=True)
                if tally.count >= asked.events:
                    break
    print(_figures(tally, time.monotonic() - began))
    return 1 if tally.wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--events", type=int, default=2_000, help="how many (2000)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no event begins after")
    parser.add_argument(
        "--only", type=int, nargs="*", default=[], help="the events of these numbers"
    )
    parser.add_argument("--variants", type=int, help="folders to choose from (one for 40 events)")
    parser.add_argument("--kinds", nargs="*", default=[*KINDS], choices=KINDS, metavar="KIND")
    parser.add_argument("--verbose", action="store_true", help="say each event")
    return parser


def _events(campaign: Campaign, asked: argparse.Namespace, began: float) -> Iterator[Event]:
    if asked.only:
        yield from map(campaign.event, asked.only)
        return
    for event in campaign.events():
        yield event
        if time.monotonic() - began > asked.seconds:
            return


def _say(event: Event, *, verbose: bool) -> None:
    if verbose or event.violations:
        print(f"{event.number}: {event.kind}: exit code {event.code}, {event.seconds:.1f} s")
    for violation in event.violations:
        print(f"    {violation}", flush=True)


def _figures(tally: Tally, seconds: float) -> str:
    width = max(map(len, KINDS))
    lines = [f"{kind:{width}}  {tally.kinds[kind]:5}" for kind in KINDS if tally.kinds[kind]]
    codes = ", ".join(f"{code}: {count}" for code, count in sorted(tally.codes.items(), key=str))
    count = f"{tally.count} events, {len(tally.wrong)} with a violation"
    missed = f"{tally.missed} more whose instant never came"
    return "\n".join([*lines, f"exit codes: {codes}", f"{count} ({seconds:.0f} s; {missed})"])


if __name__ == "__main__":
    sys.exit(main())
