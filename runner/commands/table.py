"""The commands that reach a database, by name and options: one table for both adapters."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from runner.commands import adopt, status
from runner.commands import repair as housekeeping
from runner.engine import run as engine
from runner.engine.plan import Policy
from runner.engine.run import Run
from runner.errors import ConfigurationError
from runner.files.folder import parse_version
from runner.result import Result

_Options = Mapping[str, Any]


def _policy(options: _Options) -> Policy:
    target = options.get("target")
    return Policy(
        target=parse_version(target) if target else None,
        out_of_order=options.get("allow_out_of_order", False),
        ahead=options.get("allow_ahead", False),
    )


def _plan(run: Run, options: _Options) -> Result:
    return engine.plan(run, _policy(options))


def _migrate(run: Run, options: _Options) -> Result:
    return engine.migrate(
        run,
        _policy(options),
        single=options.get("single_transaction", False),
        dry_run=options.get("dry_run", False),
        on_drift=options.get("on_drift", "warn"),
        plan_digest=options.get("plan_digest"),
    )


def _rollback(run: Run, options: _Options) -> Result:
    to, steps = options.get("to"), options.get("steps")
    if (to is None) == (steps is None):
        raise ConfigurationError("rollback takes either --to VERSION or --steps NUMBER")
    if steps is not None and steps < 1:
        raise ConfigurationError("--steps takes a number from 1")
    return engine.rollback(
        run,
        to=None if to is None else parse_version(to),
        steps=steps,
        dry_run=options.get("dry_run", False),
    )


def _status(run: Run, options: _Options) -> Result:
    return status.status(
        run, check_only=options.get("check", False), with_drift=options.get("drift", False)
    )


def _history(run: Run, options: _Options) -> Result:
    return status.show_history(run, options.get("limit", 50))


def _baseline(run: Run, options: _Options) -> Result:
    return housekeeping.baseline(run, parse_version(options["version"]))


def _repair(run: Run, options: _Options) -> Result:
    return housekeeping.repair(
        run,
        done=options.get("done"),
        again=options.get("again"),
        forget=options.get("forget"),
        yes=options.get("yes", False),
    )


def _adopt(run: Run, options: _Options) -> Result:
    at = options.get("at")
    if options["tool"] not in adopt.TOOLS:
        raise ConfigurationError(
            f"unknown tool {options['tool']!r}; known: {', '.join(adopt.TOOLS)}"
        )
    return adopt.adopt(
        run, options["tool"], at=parse_version(at) if at else None, yes=options.get("yes", False)
    )


_POLICY: dict[str, type] = {"target": str, "allow_out_of_order": bool, "allow_ahead": bool}

# Each command with the options it takes and their types; the Lambda's event is checked by it.
COMMANDS: dict[str, tuple[Callable[[Run, _Options], Result], dict[str, type]]] = {
    "migrate": (
        _migrate,
        {
            **_POLICY,
            "dry_run": bool,
            "single_transaction": bool,
            "on_drift": str,
            "plan_digest": str,
        },
    ),
    "plan": (_plan, _POLICY),
    "rollback": (_rollback, {"to": str, "steps": int, "dry_run": bool}),
    "status": (_status, {"check": bool, "drift": bool}),
    "history": (_history, {"limit": int}),
    "baseline": (_baseline, {"version": str}),
    "adopt": (_adopt, {"tool": str, "at": str, "yes": bool}),
    "repair": (_repair, {"done": str, "again": str, "forget": str, "yes": bool}),
}


def perform(name: str, run: Run, options: _Options) -> Result:
    """Run a command.

    Raises:
        ConfigurationError: the options do not fit together.

    """
    return COMMANDS[name][0](run, options)


def new_run_id() -> str:
    """Return an id for a run that nobody named."""
    return f"{os.environ.get('USER', 'run')}-{secrets.token_hex(4)}"
