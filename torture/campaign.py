"""A campaign: event after event, each drawn from the seed and its number alone."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from torture import folders
from torture.judge import judge
from torture.kinds import KINDS, Kind, nothing
from torture.proxy import Line, Proxy
from torture.scene import Scene, Variant
from torture.world import World


class Event(NamedTuple):
    """What happened: its number, kind, exit code, whether its place was reached, what was wrong."""

    number: int
    kind: str
    code: int | None
    reached: bool
    violations: tuple[str, ...]
    seconds: float


@dataclass
class Tally:
    """The figures of a campaign."""

    kinds: Counter[str] = field(default_factory=Counter)
    codes: Counter[int | None] = field(default_factory=Counter)
    missed: int = 0
    wrong: list[Event] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Count an event; one whose place was not reached is none."""
        if event.violations:
            self.wrong.append(event)
        if event.reached:
            self.kinds[event.kind] += 1
            self.codes[event.code] += 1
        else:
            self.missed += 1

    @property
    def count(self) -> int:
        """How many events there were."""
        return self.kinds.total()


class Campaign:
    """Events on one server.

    Parameters:
        seed: what everything is drawn from.
        variants: how many folders and commands there are to choose from.
        kinds: the kinds of events that happen.
    """

    def __init__(
        self, world: World, seed: int, *, variants: int, kinds: Iterable[str] = KINDS
    ) -> None:
        self.world, self._seed = world, seed
        self._kinds = list(kinds)
        self.variants = [self._variant(number) for number in range(variants)]

    def events(self, first: int = 0) -> Iterator[Event]:
        """Let events happen, without end."""
        number = first
        while True:
            yield self.event(number)
            number += 1

    def event(self, number: int) -> Event:
        """Let the event of this number happen, and judge what came of it."""
        began = time.monotonic()
        chance = random.Random(f"{self._seed}/{number}")
        name = self._kinds[number % len(self._kinds)]
        kind = KINDS[name]
        variant = chance.choice([v for v in self.variants if kind.only in {None, v.command[0]}])
        database = f"event{number}"
        self.world.create(database, variant.start)
        scene = Scene(self.world, variant, database, self.world.home / database, chance)
        try:
            code, reached = _happen(scene, kind)
        finally:
            for clock in self.world.clocks:
                clock.set(0)
            self.world.await_server()
            self.world.drop(database)
            shutil.rmtree(scene.files)
        return Event(number, name, code, reached, tuple(scene.violations), time.monotonic() - began)

    def _variant(self, number: int) -> Variant:
        """Draw what is run, and see what comes of it undisturbed."""
        chance = random.Random(f"{self._seed}/variant/{number}")
        folder = folders.draw(chance)
        count = len(folder.versions)
        command: tuple[str, ...] = ("migrate",)
        applied = chance.choice((0, 0, chance.randrange(count)))
        goal = count
        if number % 4 == 3:  # noqa: PLR2004
            applied, steps = count, chance.randrange(1, count)
            command, goal = ("rollback", "--yes", "--steps", str(steps)), count - steps
        start, twin = f"start{number}", f"twin{number}"
        self.world.create(start)
        variant = Variant(folder, start, command, goal)
        self._prepare(variant, start, applied)
        self.world.create(twin, start)
        return self._measured(variant, twin)

    def _prepare(self, variant: Variant, database: str, applied: int) -> None:
        scene = self._scene(variant, database)
        if applied:
            _succeed(scene, "migrate", "--target", str(applied))
        shutil.rmtree(scene.files)

    def _measured(self, variant: Variant, database: str) -> Variant:
        scene = self._scene(variant, database)
        with Proxy(self.world.server.port) as proxy:
            ended = scene.play(proxy)
            assert ended, variant.command
            assert ended.code == 0, (ended, variant)
            places = proxy.passed("sent"), proxy.passed("answered")
        _succeed(scene, "migrate")
        checksums = dict(scene.query("select version, checksum from public.schema_version"))
        variant = variant._replace(places=places, whole=scene.schema(), checksums=checksums)
        shutil.rmtree(scene.files)
        self.world.drop(database)
        return variant

    def _scene(self, variant: Variant, database: str) -> Scene:
        return Scene(self.world, variant, database, self.world.home / database, random.Random(0))


def _succeed(scene: Scene, *arguments: str) -> None:
    ended = scene.run(*arguments)
    assert ended.code == 0, ended


def _happen(scene: Scene, kind: Kind) -> tuple[int | None, bool]:
    """Run into the event, and judge; return the run's exit code and whether there was an event."""

    def strike(line: Line) -> None:
        kind.strike(scene, line)

    scene.deadline = kind.deadline(scene)
    options = list(kind.options)
    if scene.deadline is not None:
        options += ["--deadline", f"{scene.deadline:.3f}"]
    with Proxy(scene.world.server.port, scene.place(), strike, pieces=kind.pieces) as proxy:
        ended = scene.play(proxy, *options)
        reached = proxy.struck or kind.strike is nothing
    judge(scene, kind, ended)
    return ended.code if ended else None, reached
