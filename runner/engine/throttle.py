"""What slows a backfill down, as options say it."""

from __future__ import annotations

import re
from typing import NamedTuple

from runner.errors import ConfigurationError
from runner.files.directives import with_unit
from runner.report.wording import duration

_HOURS = re.compile(
    r"(?P<start>(?:[01]\d|2[0-3]):[0-5]\d)-(?P<end>(?:[01]\d|2[0-3]):[0-5]\d)"
    r"(?:\s+(?P<zone>[A-Za-z][\w+/-]{0,60}))?"
).fullmatch


class Pause(NamedTuple):
    """A pause between two batches: a share of the time that the first took, and milliseconds."""

    share: float = 0.0
    ms: int = 0


class Hours(NamedTuple):
    """Hours of the day, hh:mm in a time zone; over midnight where they end before they start."""

    start: str
    end: str
    zone: str = "UTC"


class Throttle(NamedTuple):
    """When a backfill pauses.

    `lag` is the most that a replica may be behind, in milliseconds, `active` the most other
    sessions that may be at work, `hours` those in which it works.
    """

    pause: Pause = Pause()
    lag: int | None = None
    active: int | None = None
    hours: Hours | None = None

    @property
    def looks(self) -> bool:
        """Whether the server is asked before a batch."""
        return not (self.lag is None and self.active is None and self.hours is None)

    def words(self) -> str:
        """Return it for a person, empty where nothing slows it down."""
        pause, hours = self.pause, self.hours
        share = f"{pause.share:.0%} of a batch's time" if pause.share else ""
        fixed = duration(pause.ms) if pause.ms else ""
        paused = " and ".join(filter(None, (share, fixed)))
        said = [
            f"pauses for {paused} after each" if paused else "",
            f"waits while a replica is more than {duration(self.lag)} behind" if self.lag else "",
            "" if self.active is None else f"waits while more than {self.active} sessions work",
            f"works from {hours.start} to {hours.end} {hours.zone}" if hours else "",
        ]
        return ", ".join(filter(None, said))


def pause(text: str) -> Pause:
    """Return the pause that a text says: 50%, 200ms, or both with a plus.

    Raises:
        ConfigurationError: it says none.
    """
    found = Pause()
    for part in text.split("+"):
        if re.fullmatch(r"\d{1,5}%", part.strip()):
            found = found._replace(share=int(part.strip()[:-1]) / 100)
        else:
            found = found._replace(ms=with_unit(part.strip()))
    return found


def hours(text: str) -> Hours:
    """Return the hours that a text says, such as 22:00-06:00 Europe/Berlin.

    Raises:
        ConfigurationError: it says none.
    """
    found = _HOURS(text.strip())
    if not found or found["start"] == found["end"]:
        raise ConfigurationError(
            f"{text!r} is no range of hours", fix="22:00-06:00, or 22:00-06:00 Europe/Berlin"
        )
    return Hours(found["start"], found["end"], found["zone"] or "UTC")
