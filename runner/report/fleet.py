"""What the page shows of a fleet: a square for each target, and who is in which state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, get_args

from markupsafe import Markup

from runner.report import wording
from runner.result import Document, Group, Member, MemberState

_TOLD = 500  # targets of a group that are told with their error; the others are named
_SIDE, _STEP = 8, 10  # of a square, and from one to the next
_COLUMNS = (
    (100, 25),
    (1_000, 50),
    (10_000, 100),
)  # of up to so many targets; of more twice as many

_TONES: dict[MemberState, tuple[str, str]] = {
    "failed": ("bad", "✗"), "unreachable": ("bad", "✗"), "differs": ("bad", "✗"),
    "drifted": ("warn", "!"), "incomplete": ("warn", "…"), "not started": ("calm", "○"),
    "behind": ("calm", "▸"), "current": ("good", "✓"),
}  # fmt: skip


class State(NamedTuple):
    """One state: its class, tone and sign, how many are in it, and their squares as a path."""

    name: str
    kind: str
    tone: str
    sign: str
    number: int
    squares: Markup


class Together(NamedTuple):
    """The targets in one state at one version: `told` are those that say why."""

    state: State
    version: str | None
    members: Sequence[Member]
    told: Sequence[Member]
    named: Sequence[Member]


class Shown(NamedTuple):
    """A fleet on the page.

    `stopped` says why not all were started; `width` and `height` are those of the drawing.
    """

    said: str
    stopped: str
    number: int
    width: int
    height: int
    states: list[State]
    groups: list[Together]
    planned: list[Group]


def shown(document: Document) -> Shown | None:
    """Return what is shown of a fleet, None where a document is of none."""
    found = wording.fleet(document)
    if found is None:
        return None
    members = found["members"]
    columns = next((wide for most, wide in _COLUMNS if len(members) <= most), 200)
    states = {state: _state(state, members, columns) for state in get_args(MemberState)}
    said, error = wording.counted_targets(members), document["error"]
    return Shown(
        said=said,
        stopped=error["message"].removeprefix(said).strip(" ()") if error else "",
        number=len(members),
        width=columns * _STEP,
        height=-(-len(members) // columns) * _STEP,
        states=[state for state in states.values() if state.number],
        groups=list(_groups(states, members)),
        planned=found["groups"],
    )


def where(member: Member) -> str:
    """Return where a target is, as far as that is more than its name."""
    target = member["target"]
    database, schema = target.get("dbname", ""), target.get("schema", "")
    parts = [database, schema if schema != member["name"] else ""]
    return " ".join(filter(None, (*parts, f"on {target['host']}" if "host" in target else "")))


def _state(name: MemberState, members: Sequence[Member], columns: int) -> State:
    tone, sign = _TONES[name]
    places = [place for place, member in enumerate(members) if member["state"] == name]
    squares = "".join(
        f"M{place % columns * _STEP} {place // columns * _STEP}h{_SIDE}v{_SIDE}h-{_SIDE}z"
        for place in places
    )
    # Markup, so that no length of it is too much.
    return State(name, name.replace(" ", "-"), tone, sign, len(places), Markup(squares))  # noqa: S704


def _groups(states: dict[str, State], members: Sequence[Member]) -> Iterable[Together]:
    """Give the groups: what needs somebody comes first, and of the others the largest."""
    found: dict[tuple[str, str | None], list[Member]] = {}
    for member in members:
        found.setdefault((member["state"], member["version"]), []).append(member)
    order = list(states)
    for (state, version), those in sorted(
        found.items(), key=lambda entry: (order.index(entry[0][0]), -len(entry[1]))
    ):
        told = [member for member in those if member["error"]][:_TOLD]
        named = [member for member in those if not member["error"]]
        named += [member for member in those if member["error"]][_TOLD:]
        yield Together(states[state], version, those, told, named)
