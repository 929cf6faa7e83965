"""What may happen to a run: each kind of event with the exit codes that are right after it."""

from __future__ import annotations

import contextlib
import resource
import signal
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.relay import PIECE
from runner.deadline import MARGIN
from torture.folders import name_of
from torture.proxy import Line
from torture.scene import Scene
from torture.world import LOGIN

_FAILED = frozenset({0, 3, 4, 9})
# A lock is given up for soon, so that a scene does not take long.
_HASTY = ("--lock-timeout", "100ms", "--lock-attempts", "3")

_JUMPS = (1.5, 3_600.0, 400 * 86_400.0)  # seconds by which a clock is set forward or back
_CROWD = 50  # runners at once
_DOOR = 8  # connections that are let in of them

EDITED = 0  # the mark that an edited file leaves beside its own


class Kind(NamedTuple):
    """One kind of event.

    Parameters:
        strike: what happens when the place is reached.
        codes: the exit codes that the run may end with.
        options: what the run is given beside its command.
        deadline: seconds from its beginning when it must have stopped; none where it gives none.
        rivals: the exit codes that runs beside it may end with.
        pieces: bytes that pass at once.
        only: the command that it makes sense for.
        clocks: the time of day is set in it.
        connections: the most that each run may have made, None where nobody counts.
    """

    strike: Callable[[Scene, Line], None]
    codes: frozenset[int] = _FAILED
    options: tuple[str, ...] = ()
    deadline: Callable[[Scene], float | None] = lambda _: None
    rivals: frozenset[int] = frozenset({0})
    pieces: int = PIECE
    only: str | None = None
    clocks: bool = False
    connections: int | None = None


def _kill_runner(scene: Scene, _: Line) -> None:
    scene.running().signal(signal.SIGKILL)


def _interrupt(scene: Scene, _: Line) -> None:
    for _again in range(scene.chance.choice((1, 1, 2))):
        scene.running().signal(scene.chance.choice((signal.SIGINT, signal.SIGTERM)))


def _end_session(scene: Scene, _: Line) -> None:
    for pid in scene.sessions():
        scene.query(f"select pg_terminate_backend({pid}, 2000)")


def _cancel(scene: Scene, _: Line) -> None:
    for pid in scene.sessions():
        scene.query(f"select pg_cancel_backend({pid})")


def _crash_session(scene: Scene, _: Line) -> None:
    for pid in scene.sessions()[:1]:
        scene.world.crash(pid)


def _kill_server(scene: Scene, _: Line) -> None:
    scene.world.kill()


def _restart_fast(scene: Scene, _: Line) -> None:
    scene.world.restart(signal.SIGINT)


def _restart_at_once(scene: Scene, _: Line) -> None:
    scene.world.restart(signal.SIGQUIT)


def _cut(scene: Scene, line: Line) -> None:
    line.cut(reset=scene.chance.random() < 0.5)  # noqa: PLR2004


def _cut_client(scene: Scene, line: Line) -> None:
    line.cut(line.client, reset=scene.chance.random() < 0.5)  # noqa: PLR2004
    line.half_close(line.server)


def _cut_server(_: Scene, line: Line) -> None:
    line.cut(line.server)


def _half_close_client(_: Scene, line: Line) -> None:
    line.half_close(line.client)


def _half_close_server(_: Scene, line: Line) -> None:
    line.half_close(line.server)


def _freeze(_: Scene, line: Line) -> None:
    line.freeze()


def _freeze_and_cut(scene: Scene, line: Line) -> None:
    line.freeze()
    _cut(scene, line)
    line.thaw()


def nothing(_: Scene, __: Line) -> None:
    """Let happen what the options ask for, from the beginning on."""


def _locks(scene: Scene, _: Line) -> None:
    for _number in range(scene.chance.randint(1, 6)):
        scene.lock(scene.chance.uniform(0, 0.3))


def _deadlock(scene: Scene, _: Line) -> None:
    scene.cross()


def _runners(scene: Scene, _: Line) -> None:
    for _number in range(scene.chance.randint(1, 3)):
        scene.rival("migrate")


def _crowd(scene: Scene, _: Line) -> None:
    for _number in range(_CROWD - 1):
        scene.rival("migrate")


def _crowd_at_a_narrow_door(scene: Scene, line: Line) -> None:
    scene.query(f"alter role {LOGIN} connection limit {_DOOR}")
    _crowd(scene, line)


def _rollback(scene: Scene, _: Line) -> None:
    scene.rival("rollback", "--yes", "--steps", "1")


def _repair(scene: Scene, _: Line) -> None:
    scene.rival("repair", "--yes")


def _rival_killed(scene: Scene, _: Line) -> None:
    scene.rival("migrate")
    scene.rivals[-1].signal(signal.SIGKILL)
    scene.running().signal(signal.SIGKILL)


def _edit(scene: Scene, _: Line) -> None:
    number = scene.chance.choice(scene.variant.folder.versions[1:]).number
    path = scene.files / name_of(number)
    path.write_text(f"{path.read_text()}insert into mark values ({number}, {EDITED});\n")


def _remove(scene: Scene, _: Line) -> None:
    number = scene.chance.choice(scene.variant.folder.versions).number
    (scene.files / name_of(number)).unlink()


def _kill_and_edit(scene: Scene, line: Line) -> None:
    _kill_runner(scene, line)
    _edit(scene, line)


def _full_disk(scene: Scene, _: Line) -> None:
    for pid in scene.sessions():
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (8192, 8192))


def _rotate(scene: Scene, _: Line) -> None:
    scene.query(f"alter role {LOGIN} password 'second'")


def _set_clocks(scene: Scene, _: Line) -> None:
    ahead = scene.chance.choice((-1, 1)) * scene.chance.choice(_JUMPS)
    for clock in scene.chance.choice(([0], [1], [0, 1])):
        scene.world.clocks[clock].set(ahead)


def _kill_and_set_clocks(scene: Scene, line: Line) -> None:
    _kill_runner(scene, line)
    _set_clocks(scene, line)


def _locks_and_set_clocks(scene: Scene, line: Line) -> None:
    _locks(scene, line)
    scene.lock(scene.chance.uniform(0.3, 4))
    _set_clocks(scene, line)


def _soon(_: Scene) -> float:
    return MARGIN + 1.5


def _at_any_time(scene: Scene) -> float:
    return MARGIN + scene.chance.uniform(0.001, 0.6)


KINDS = {
    "runner killed": Kind(_kill_runner, frozenset({-9, 0})),
    "runner interrupted": Kind(_interrupt, frozenset({130, 0})),
    "session ended": Kind(_end_session),
    "statement cancelled by somebody": Kind(_cancel),
    "session crashed, and the server with it": Kind(_crash_session),
    "server killed": Kind(_kill_server),
    "server restarted fast": Kind(_restart_fast),
    "server restarted at once": Kind(_restart_at_once),
    "line cut": Kind(_cut),
    "line cut for the runner": Kind(_cut_client),
    "line cut for the server": Kind(_cut_server, _FAILED | {8}, deadline=_soon),
    "line half closed to the runner": Kind(_half_close_client),
    "line half closed to the server": Kind(_half_close_server),
    "line frozen": Kind(_freeze, _FAILED | {8}, deadline=_soon),
    "line frozen, then cut": Kind(_freeze_and_cut),
    "line in tiny pieces": Kind(nothing, frozenset({0}), pieces=3),
    "lock storm": Kind(_locks, frozenset({0, 3, 4, 5}), _HASTY),
    "deadlock": Kind(_deadlock, frozenset({0, 3, 4, 5}), _HASTY),
    "other runners": Kind(_runners, frozenset({0}), only="migrate"),
    "other runners, killed": Kind(_rival_killed, frozenset({-9, 0}), rivals=frozenset({-9, 0})),
    "rollback beside it": Kind(_rollback, frozenset({0}), only="migrate"),
    "repair beside it": Kind(_repair, frozenset({0})),
    "file edited": Kind(_edit, frozenset({0, 2}), only="migrate"),
    "file removed": Kind(_remove, frozenset({0, 2, 6}), only="migrate"),
    "runner killed and file edited": Kind(_kill_and_edit, frozenset({-9, 0}), only="migrate"),
    "deadline": Kind(nothing, frozenset({0, 3, 4, 5, 8, 9}), deadline=_at_any_time),
    "disk full": Kind(_full_disk, _FAILED | {1}),
    "password rotated": Kind(_rotate, frozenset({0, 9})),
    "clock set": Kind(_set_clocks, frozenset({0, 3, 4, 5}), clocks=True),
    "runner killed and clock set": Kind(_kill_and_set_clocks, frozenset({-9, 0}), clocks=True),
    "lock storm and clock set": Kind(
        _locks_and_set_clocks, frozenset({0, 3, 4, 5, 8}), _HASTY, _soon, clocks=True
    ),
    "50 runners at once": Kind(_crowd, frozenset({0}), only="migrate", connections=2),
    "50 runners at once, 8 connections": Kind(
        _crowd_at_a_narrow_door,
        frozenset({0, 9}),
        rivals=frozenset({0, 9}),
        only="migrate",
        connections=2,
    ),
}
