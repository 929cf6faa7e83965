"""A bounded part of the campaign of faults, and the judge that must see what is wrong."""

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from torture import folders
from torture.campaign import Campaign
from torture.judge import judge, judge_run
from torture.kinds import KINDS
from torture.scene import Scene
from torture.world import Ended, World

_ROOT = Path(__file__).parents[2]
# Those that take a server down or wait for a deadline take longest, and come in `make torture`.
_QUICK = (
    "runner killed", "runner interrupted", "session ended", "statement cancelled by somebody",
    "line cut", "line half closed to the runner", "line in tiny pieces", "deadlock",
    "other runners", "rollback beside it", "file edited",
)  # fmt: skip


def _campaign(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "torture", *arguments],
        cwd=_ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def test_nothing_is_wrong_after_a_few_events_of_each_quick_kind() -> None:
    done = _campaign(
        "--seed", "2026", "--events", str(len(_QUICK)), "--variants", "2", "--kinds", *_QUICK
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 with a violation" in done.stdout
    assert not done.stderr


def test_folders_of_a_seed_are_always_the_same() -> None:
    drawn = [folders.draw(random.Random("7/3")) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != folders.draw(random.Random("7/4"))


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """Give a campaign of one folder, and a database in which everything was applied."""
    world = World(tmp_path_factory.mktemp("world"))
    with world.running():
        campaign = Campaign(world, 5, variants=1)
        world.create("done", campaign.variants[0].start)
        assert _scene(campaign, "done").run("migrate").code == 0
        yield campaign


def _scene(campaign: Campaign, database: str) -> Scene:
    home = campaign.world.home / database
    return Scene(campaign.world, campaign.variants[0], database, home, random.Random(1))


@pytest.fixture
def scene(campaign: Campaign) -> Iterator[Scene]:
    """Give a scene in which everything was applied and nothing happened."""
    campaign.world.create("judged", "done")
    scene = _scene(campaign, "judged")
    yield scene
    campaign.world.drop("judged")
    shutil.rmtree(scene.files)


WRONGS = {
    "applied twice": ("insert into mark values (1, 1)", "version 1 left [1, 1], not [1]"),
    "applied and not recorded": (
        "delete from public.schema_version_log where version = '1'", "the log says",
    ),
    "an invalid index": (
        "update pg_index set indisvalid = false where indexrelid = 'thing_pkey'::regclass",
        "invalid indexes are left",
    ),
    "another schema": ("alter table thing add column more int", "is not done when it is"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONGS)
def test_judge_sees(scene: Scene, name: str) -> None:
    sql, said = WRONGS[name]
    scene.query(sql)
    judge(scene, KINDS["runner killed"], Ended("nobody", -9, None, ""))
    assert said in " ".join(scene.violations)


ENDS = {
    "another exit code": (Ended("nobody", 7, {"applied": []}, ""), "exit code 7"),
    "no document": (Ended("nobody", 3, None, ""), "no result document"),
    "a traceback": (Ended("nobody", 3, {"applied": []}, "Traceback (most"), "traceback"),
    "a lie": (
        Ended("nobody", 0, {"applied": [{"action": "apply", "file": "V1__part.sql"}]}, ""),
        "says it did",
    ),
    "no end": (None, "hangs"),
}


@pytest.mark.parametrize("name", ENDS)
def test_judge_sees_of_a_run(scene: Scene, name: str) -> None:
    ended, said = ENDS[name]
    judge_run(scene, ended, frozenset({0, 3}))
    assert said in " ".join(scene.violations)
