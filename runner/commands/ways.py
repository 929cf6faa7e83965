"""How the targets of a fleet are worked through: from here, or by a state machine on AWS."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from psycopg2.extensions import make_dsn

from runner.commands.command import Context
from runner.commands.invoke import invoke, texts
from runner.commands.member import answered
from runner.commands.table import COMMANDS, policy
from runner.deadline import Deadline
from runner.engine.migrate import look_first, plan, plan_first
from runner.engine.run import Run
from runner.errors import ConfigurationError, NotThere
from runner.files.folder import read_folder
from runner.files.packing import packed
from runner.fleet.coordinator import Bounds, Coordinator
from runner.fleet.machine import Ask, Machine, Sent
from runner.fleet.pool import Ended
from runner.fleet.targets import Item, of_file, of_query
from runner.fleet.work import Answer, Asked
from runner.result import Document


class Way(NamedTuple):
    """How the targets are worked through: who they are, the digest of the files, what ends.

    `planned` gives the plan of one of them in full, where it `answers` to who asks from here.
    """

    items: list[Item]
    files: str
    coordinator: Coordinator | Machine
    ended: Iterator[Ended]
    planned: Callable[[Item], Document]
    answers: Callable[[Item], bool] = lambda _: True


def here(context: Context, command: str, options: Mapping[str, Any]) -> Way:
    """Have processes of this machine do it."""
    if given := [flag for flag in ("send_files", "first") if options.get(flag)]:
        flag = f"--{given[0].replace('_', '-')}"
        raise ConfigurationError(f"{flag} is for a --state-machine: from here --sql-dir is planned")
    folder = read_folder(context.sql_dir)
    common, items = _targets(context, options)
    run = common or context.database(items[0].text(None))
    work = Asked(
        command=command,
        run_id=context.run_id,
        sql_dir=str(context.sql_dir),
        files=folder.digest(),
        url=make_dsn(**common.target.parameters) if common else None,
        schema=run.target.schema,
        extensions=run.target.extensions,
        connect_wait=run.connect_wait,
        lock_wait=run.lock_wait,
        lock_timeout=run.conduct.lock_timeout,
        lock_attempts=run.conduct.lock_attempts,
        throttle=run.conduct.throttle,
        options=_asked(command, options),
    )
    for item in items:
        item.target(work.url, work.schema, work.extensions)
    bounds = _bounds(command, options, len(items))
    coordinator = Coordinator(items, bounds, run.conduct.deadline, context.progress)

    def planned(item: Item) -> Document:
        target = item.target(work.url, work.schema, work.extensions)
        return plan(run._replace(target=target), policy(options)).document()

    return Way(items, work.files, coordinator, coordinator.work(work), planned)


def there(context: Context, command: str, options: Mapping[str, Any]) -> Way:
    """Have a state machine do it, which has bounds of its own, and its functions files."""
    if options.get("at_once"):
        raise ConfigurationError(
            "--at-once is of this machine; a state machine has fleet_at_once of its inventory"
        )
    if sql := options.get("targets_query"):
        run = context.database(None)
        items = of_query(run.target, sql, run_id=run.run_id, wait=run.connect_wait, machine=True)
    else:
        items = of_file(options["targets"], machine=True)
    bounds = _bounds(command, options, len(items))
    machine = Machine(
        options["state_machine"], items, bounds, Deadline(context.deadline), context.progress
    )
    given = _asked(command, options)
    try:
        function = machine.function()
    except NotThere as error:
        if not options.get("first"):
            raise
        return _all_new(context, options, machine, items, f"{error.message}: everything is new")
    folder = context.sql_dir if options.get("send_files") else None

    def planned(item: Item) -> Document:
        return invoke(
            function, run_id=context.run_id, command=command, options=given,
            progress=context.progress, files=folder, schema=item.schema,
        )  # fmt: skip

    ask = Ask(command, context.run_id, given, _sent(folder) if folder else None)
    # Who may have the machine call another function may not call that himself.
    return Way(items, "", machine, machine.work(ask), planned, lambda i: "function" not in i.where)


def _asked(command: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the command is to do in each target, as an event has it."""
    known = {option.name for option in COMMANDS[command].options} - {"check"}
    given = {name: value for name, value in options.items() if name in known and value is not None}
    if digests := given.get("plan_digest"):
        given["plan_digest"] = ",".join(digests)
    return given


def _sent(path: Path) -> Sent:
    folder = read_folder(path)
    return Sent(packed(texts(folder)), folder.digest())


def _all_new(
    context: Context, options: Mapping[str, Any], machine: Machine, items: list[Item], why: str
) -> Way:
    """Plan for targets that are still to be made, by a state machine that is not there yet."""
    looked, digest = look_first(context.sql_dir, context.run_id, policy(options))
    if looked.error:
        raise looked.error
    looked.warnings.append(why)
    files = read_folder(context.sql_dir).digest()

    def new(item: Item) -> Answer:
        return answered(item, looked)._replace(digest=digest)

    def planned(_: Item) -> Document:
        return plan_first(context.sql_dir, context.run_id, policy(options), "").document()

    return Way(items, files, machine, machine.instead(new), planned)


def _targets(context: Context, options: Mapping[str, Any]) -> tuple[Run | None, list[Item]]:
    """Return what the targets have in common, None where nothing, and who they are."""
    if sql := options.get("targets_query"):
        run = context.database(None)
        return run, of_query(run.target, sql, run_id=run.run_id, wait=run.connect_wait)
    items = of_file(options["targets"])
    try:
        return context.database(None), items
    except ConfigurationError:
        if not all(item.is_whole() for item in items):
            raise
        return None, items


def _bounds(command: str, options: Mapping[str, Any], count: int) -> Bounds:
    # Who only looks wants to see all.
    tolerated, percent = options.get(
        "tolerate", (0, False) if command == "migrate" else (100, True)
    )
    return Bounds(
        at_once=options.get("at_once") or os.cpu_count() or 1,
        canaries=min(options.get("canary", 0), count),
        tolerated=count * tolerated // 100 if percent else tolerated,
    )
