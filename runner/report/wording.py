"""A result in words: what the page and the comment both say."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple, cast, get_args

from runner.errors import Error, Kind
from runner.result import (
    Action,
    Applied,
    Backfill,
    Document,
    Estimate,
    Event,
    Finding,
    Fleet,
    Group,
    Lock,
    Member,
    MemberState,
    Open,
    Plan,
    Planned,
    Preview,
    Proof,
    Proofs,
    Rehearsal,
    Risk,
    Standing,
    Task,
)
from runner.syntax import modes

RISKS: dict[Risk, str] = {"none": "no risk seen", "notice": "be aware", "block": "would block"}
# Where a migration may stand and nothing is left to do.
SETTLED = frozenset({"applied", "baseline", "below the baseline"})

# Seconds between two lines on how far a backfill is, where none takes another's place.
OFTEN = 30.0

_PLANS = frozenset({"plan", "rollback"})  # whose data is a plan
_RUNS = _PLANS | {"migrate", "backfill"}
_TABLES = frozenset({"verify", "status", "history", "lint"})  # whose data is no text
_FLEETS = frozenset({"fleet migrate", "fleet plan", "fleet status"})


class Verdict(NamedTuple):
    """The outcome: a tone (good, warn, bad, calm), a sign and a word for it, and a sentence."""

    tone: str
    sign: str
    word: str
    sentence: str


class ToRun(NamedTuple):
    """One file of a plan or a dry run; `seen` is what a plan knows of it, and only a plan."""

    file: str
    action: Action
    transactional: bool
    why: str
    how: str
    sql: str
    seen: Planned | None


_MOMENT = 1000  # milliseconds of which nobody takes notice
_odd = re.compile(r"[^\n\t -~]")


def clean(text: object) -> str:
    """Return the text without what could deceive the eye or break a file.

    Control characters and halves of surrogate pairs become �; characters that nobody sees, or
    that turn the direction of writing, are named.
    """
    return _odd.sub(lambda found: _named(found.group()), str(text).replace("\r\n", "\n"))


def _named(char: str) -> str:
    category = unicodedata.category(char)
    if not category.startswith("C"):
        return char
    return f"⟨U+{ord(char):04X}⟩" if category == "Cf" else "�"


def bounded(text: str, most: int) -> str:
    """Return the text, cut where it is longer than so many characters, and say so."""
    left = len(text) - most
    return text if left <= 0 else f"{text[:most]}\n… {left:,} more characters"


def first(entries: Sequence[str], most: int, what: str) -> list[str]:
    """Return the first entries, and in a line how many more there are of what."""
    return and_more(entries[:most], len(entries) - most, what)


def and_more(entries: Sequence[str], more: int, what: str) -> list[str]:
    """Return entries, and in a line how many more there were, if any."""
    return [*entries, *([f"… and {more} more {what}"] if more > 0 else [])]


def many(count: int, one: str, more: str | None = None) -> str:
    """Return a number of things.

    Parameters:
        more: the plural, where it is not formed by an s.
    """
    return f"{count:,} {one if count == 1 else more or f'{one}s'}"


def place(error: Error) -> str:
    """Return where an error is, as editors and terminals open it: file:line:column."""
    parts = (error.get("file"), error.get("line"), error.get("column"))
    return ":".join(str(part) for part in parts if part)


def remarks(error: Error) -> list[tuple[str, str]]:
    """Return what else the server said of an error, by name."""
    named = {
        "detail": error.get("detail"),
        "hint": error.get("hint"),
        "context": error.get("context"),
    }
    return [(name, text) for name, text in named.items() if text]


def who(session: Open) -> str:
    """Return whose a session is, as far as the server says."""
    found = {"user": session["user"], "application": session["application"]}
    named = [f"{what} {name}" for what, name in found.items() if name]
    return ", ".join([f"pid {session['pid']}", *named])


def blocks(name: str) -> str:
    """Return what a lock keeps others from."""
    return f"blocks {modes.BLOCKS[modes.level(name)]}"


def judged(seen: Planned) -> list[str]:
    """Return what a plan says of a file's locks and hazards: the risks, then what is none."""
    return [*seen["risks"], *seen.get("calm", [])]


def strongest(locks: Sequence[Lock]) -> str | None:
    """Return the mode of the strongest lock, None if there is none."""
    return max((lock["mode"] for lock in locks), key=modes.level, default=None)


def size(count: float | None) -> str:
    """Return a number of bytes in the unit that reads best; 1 kB is 1024, as PostgreSQL has it."""
    return "" if count is None else _scaled(count, 1024, ("bytes", "kB", "MB", "GB", "TB"))


def amount(count: float | None) -> str:
    """Return a number of rows, rounded."""
    return "" if count is None else _scaled(count, 1000, ("", "thousand", "million", "billion"))


def rate(count: float | None) -> str:
    """Return a number of events in a second."""
    return "" if count is None else f"{count:,.0f}" if count >= 10 or not count else f"{count:.1f}"  # noqa: PLR2004


def _scaled(count: float, step: int, units: tuple[str, ...]) -> str:
    power = 0
    while count >= step and power < len(units) - 1:
        count, power = count / step, power + 1
    digits = 1 if power and count < 10 else 0  # noqa: PLR2004
    return f"{count:,.{digits}f} {units[power]}".strip()


def duration(milliseconds: float | None) -> str:
    """Return a duration in the unit that reads best."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:  # noqa: PLR2004
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {seconds % 60:.0f} s"  # noqa: PLR2004


def briefly(found: Backfill) -> str:
    """Return how far a backfill is, for a line that is cut where the screen ends."""
    left, speed, seconds = found["rows_left"], found["rows_per_second"], found["seconds_left"]
    return ", ".join(
        filter(
            None,
            (
                f"{100 * found['rows'] // (found['rows'] + left)} %" if left else "",
                f"{amount(found['rows'])} rows",
                f"{rate(speed)} rows/s" if speed else "",
                f"{duration(seconds * 1000)} more" if seconds else "",
            ),
        )
    )


def done_of(found: Backfill) -> str:
    """Return what of a backfill is done."""
    return f"{many(found['rows'], 'row')} in {many(found['batches'], 'batch', 'batches')}"


def backfill(found: Backfill) -> str:
    """Return how far a backfill is: what is done, what is left, how fast, and until when."""
    said = done_of(found)
    left, speed, seconds = found["rows_left"], found["rows_per_second"], found["seconds_left"]
    if left:
        whole = found["rows"] + left
        said += f" ({100 * found['rows'] // whole} %), about {amount(left)} rows left"
        said += ", by the table's size" if found["basis"] == "size" else ""
    if speed:
        said += f", {rate(speed)} rows/s"
    if left and seconds and found["ends_at"]:
        said += f", {duration(seconds * 1000)} more, to about {moment(found['ends_at'])}"
    return said


def counted_targets(members: Sequence[Member]) -> str:
    """Return how many targets there are and, of those in each state, how many."""
    states = Counter(member["state"] for member in members)
    counts = [f"{states[state]:,} {state}" for state in get_args(MemberState) if states[state]]
    return f"{many(len(members), 'target')}: {', '.join(counts)}"


def standing_of(members: Sequence[Member]) -> list[tuple[MemberState, str | None, int]]:
    """Return how many targets are in which state at which version, what needs somebody first."""
    where = Counter((member["state"], member["version"]) for member in members)
    order = get_args(MemberState)
    found = [(state, version, count) for (state, version), count in where.items()]
    return sorted(found, key=lambda entry: (order.index(entry[0]), -entry[2]))


def fleet(document: Document) -> Fleet | None:
    """Return what came of a fleet; None where that is not so."""
    return cast(Fleet | None, document["data"] if document["command"] in _FLEETS else None)


def takes(found: Estimate | None) -> str:
    """Return how long a file's work on tables is expected to take, empty where nothing tells."""
    if found is None:
        return ""
    if found.get("rehearsed"):
        return f"worked, and held its locks, for {duration(found['ms'])} on a copy"
    if found["most_ms"] < _MOMENT:
        return "expected to take a moment"
    between = f"{_about(found['least_ms'])} to {_about(found['most_ms'])}"
    why = (
        f"as {many(found['runs'], 'earlier run')} of this database went"
        if found["runs"]
        else "guessed from the size of its tables, for no earlier run tells"
    )
    return f"expected to work, and hold its locks, for {_about(found['ms'])} ({between}): {why}"


def _about(milliseconds: float) -> str:
    """Return a duration that is known roughly, with as much of it as is worth saying."""
    if milliseconds < 10 * _MOMENT:
        return f"{max(milliseconds / 1000, 0.1):.1f} s"
    for unit, name in ((1000, "s"), (60_000, "min")):
        if milliseconds < 120 * unit:
            return f"{milliseconds / unit:.0f} {name}"
    return f"{milliseconds / 3_600_000:.1f} h"


def moment(text: object) -> str:
    """Return a time for people, in UTC."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return str(text)
    return f"{found.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if found.tzinfo else f"{found}"


def target(document: Document) -> str:
    """Return the database, which schema of it, and its server; empty where there was none."""
    found = document["target"]
    if not found:
        return ""
    name = found.get("dbname", "a database that was not reached")
    if schema := found.get("schema"):
        name = f"schema {schema} of {name}"
    return f"{name} on {found.get('host') or 'the local socket'}"


def rehearsal(document: Document) -> Rehearsal | None:
    """Return what a rehearsal showed; None where that is not so."""
    return cast(Rehearsal | None, document["data"] if document["command"] == "rehearse" else None)


def ran(document: Document) -> list[Applied]:
    """Return the files that were run, on the target or on its copy."""
    found = rehearsal(document)
    return found["files"] if found else document["applied"]


def done(document: Document, entry: Applied) -> str:
    """Return what was done with a file, in one word."""
    if rehearsal(document):
        return "rehearsed"
    return "undone" if entry["action"] == "undo" else "applied"


def used(found: Rehearsal) -> str:
    """Return what a rehearsal took of time and disk."""
    return (
        f"{many(len(found['files']), 'file')} took {duration(found['duration_ms'])};"
        f" {size(found['temporary_bytes'])} of temporary files,"
        f" the copy grew by {size(max(0, found['grown_bytes']))}"
    )


def plan(document: Document) -> Plan | None:
    """Return what `plan` found, or a rollback that only shows; None where that is not so."""
    return cast(Plan | None, document["data"] if document["command"] in _PLANS else None)


def plans(document: Document) -> list[Plan]:
    """Return what `plan` found, or `fleet plan` in the first target of each group."""
    if found := fleet(document):
        return [group["plan"] for group in found["groups"] if "plan" in group]
    one = plan(document)
    return [one] if one else []


def planned(document: Document) -> list[ToRun]:
    """Return the files of a plan or a dry run, each with its SQL."""
    if found := plan(document):
        return of_plan(found)
    if document["outcome"] != "planned" or document["command"] != "migrate":
        return []
    shown = {each["file"]: each["sql"] for each in cast(list[Preview], document["data"] or [])}
    return [_to_run(task, shown.get(task["file"], ""), None) for task in document["pending"]]


def witness(group: Group) -> str:
    """Return which target's plan is shown for a group of a fleet."""
    return next(iter(group["examples"]), "one of them")


def of_plan(found: Plan) -> list[ToRun]:
    """Return the files of a plan."""
    return [_to_run(file, file["sql"], file) for file in found["files"]]


def _to_run(task: Task | Planned, sql: str, seen: Planned | None) -> ToRun:
    how = manner(task)
    if seen and seen.get("throttle"):
        how += f"; {seen['throttle']}"
    return ToRun(task["file"], task["action"], task["transactional"], task["why"], how, sql, seen)


def manner(task: Task | Planned) -> str:
    """Return how a file runs: of a backfill, how much that is."""
    if found := task.get("backfill"):
        size = f"{many(found['batch_size'], 'row')} of {found['table']} by {found['key']}"
        rest = f", about {amount(found['rows_left'])} left" if found["rows_left"] else ""
        done = f", {done_of(found)} done" if found["rows"] else ""
        where = " in the background" if found["background"] else ""
        return f"a backfill{where}, in batches of {size}, each committed{done}{rest}"
    return "in a transaction" if task["transactional"] else "statement by statement"


def unfinished(task: Task) -> str:
    """Return what became of a file that a run has left undone."""
    found = task.get("backfill")
    return f"goes on after {backfill(found)}" if found and found["rows"] else "not run"


def approved(plan: Plan) -> str:
    """Return the command that runs exactly what a plan shows."""
    phase = "--after-deploy " if "after_deploy" in plan else ""
    return f"runner migrate {phase}--plan-digest {plan['digest']}"


def held(document: Document) -> list[Task]:
    """Return the files that a run leaves for later on purpose."""
    return document.get("held", [])


def state(entry: Standing) -> str:
    """Return where a migration stands, and how far it is if it is a backfill."""
    found = entry.get("backfill")
    return f"{entry['state']}: {backfill(found)}" if found else entry["state"]


def verified(document: Document) -> list[Proof]:
    """Return the migrations that were put to the proof."""
    found = cast(Proofs | None, _of("verify", document))
    return found["migrations"] if found else []


def standings(document: Document) -> list[Standing]:
    """Return where each migration stands, as `status` found it."""
    return cast(list[Standing], _of("status", document) or [])


def events(document: Document) -> list[Event]:
    """Return the lines of `history`."""
    return cast(list[Event], _of("history", document) or [])


def findings(document: Document) -> list[Finding]:
    """Return the places that `lint` objects to."""
    return cast(list[Finding], _of("lint", document) or [])


def said(document: Document) -> list[str]:
    """Return the data of the commands that answer in lines of text."""
    data, texts = document["data"], document["command"] not in _RUNS | _TABLES
    return cast(list[str], data) if texts and isinstance(data, list) else []


def _of(command: str, document: Document) -> object:
    return document["data"] if document["command"] == command else None


def counted(standings: Sequence[Standing]) -> str:
    """Say how many migrations are in which state."""
    states = [entry["state"].replace(",", " but") for entry in standings]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "empty"


def standing(entry: Proof) -> str:
    """Return what a proof says of a migration: proved, irreversible or not proved."""
    if entry["proved"]:
        return "proved"
    return "irreversible" if entry["irreversible"] and not entry["problems"] else "not proved"


def failed(document: Document) -> str | None:
    """Return the file that the error names, as the pending list has it."""
    file = document["error"].get("file", "") if document["error"] else ""
    names = [entry["file"] for entry in document["pending"]]
    return next((name for name in names if file == name or file.endswith(f"/{name}")), None)


def failure(document: Document) -> str:
    """Return what became of the file that failed."""
    words: dict[Kind, str] = {
        "migration": "failed and rolled back", "attention": "stopped half way",
    }  # fmt: skip
    return words.get(document["error"]["kind"], "failed") if document["error"] else ""


def attempt(entry: Applied) -> str:
    """Return how often a migration was tried, empty where the first time was enough."""
    return f"done at attempt {entry['attempts']}" if entry["attempts"] > 1 else ""


def unproved(document: Document) -> bool:
    """Return whether the error only sums up what the migrations of a proof say themselves."""
    error = document["error"]
    return bool(error and error["kind"] == "refused" and verified(document))


def waiting(document: Document) -> list[Task]:
    """Return what was left undone, without the file that failed."""
    name = failed(document)
    return [entry for entry in document["pending"] if entry["file"] != name]


def verdict(document: Document) -> Verdict:
    """Return the outcome for people."""
    if verified(document):
        return _proof(document)
    if found := fleet(document):
        return _fleet(document, found["members"])
    if error := document["error"]:
        return _stopped(document, error)
    look = _LOOKS.get(document["command"], _ran)
    return look(document)


def _fleet(document: Document, members: Sequence[Member]) -> Verdict:
    said = counted_targets(members)
    if error := document["error"]:
        stopped = error["kind"] in {"incomplete", "interrupted"}
        return Verdict(*(("warn", "…", "Stopped") if stopped else ("bad", "✗", "Failed")), said)
    current = all(member["state"] == "current" for member in members)
    if document["command"] == "fleet migrate":
        return Verdict("good", "✓", "Done", said)
    if current:
        return Verdict("good", "✓", "Up to date", said)
    worst = max((outlook(of_plan(each)) for each in plans(document)), key=weight, default=None)
    return worst._replace(sentence=said) if worst else Verdict("calm", "▸", "Pending", said)


def weight(seen: Verdict) -> int:
    """Return how much an outcome wants to be looked at."""
    return ["calm", "good", "warn", "bad"].index(seen.tone)


def _ran(document: Document) -> Verdict:
    if files := planned(document):
        return outlook(files)
    if found := rehearsal(document):
        return _rehearsed(found)
    if document["outcome"] == "applied":
        return Verdict("good", "✓", "Done", _done(document))
    if changes := said(document):
        return Verdict("calm", "▸", "Planned", f"{_changes(changes)} to make, nothing was written")
    runs = document["command"] in _RUNS
    sentence = "No file is to run" if runs else "Nothing is to be changed"
    return Verdict("calm", "=", "Nothing to do", sentence)


def _rehearsed(found: Rehearsal) -> Verdict:
    if not found["files"]:
        return Verdict("calm", "=", "Nothing to do", "No file is to run")
    count = many(len(found["files"]), "file")
    return Verdict("good", "✓", "Rehearsed", f"{count} ran on a copy, and went over no limit")


def _done(document: Document) -> str:
    took = duration(document["duration_ms"])
    applied = ran(document)
    if not applied:
        return f"{_changes(said(document))} in {took}"
    verb = "undone" if any(entry["action"] == "undo" for entry in applied) else "applied"
    return f"{many(len(applied), 'migration')} {verb} in {took}"


def _changes(texts: Sequence[str]) -> str:
    return f"{many(len(texts), 'change')} of the history"


def _status(document: Document) -> Verdict:
    entries = standings(document)
    sentence = counted(entries) if entries else "no migration, neither a file nor in the history"
    if document["warnings"]:
        return Verdict("warn", "!", "Differs", sentence)
    if all(entry["state"] in SETTLED for entry in entries):
        return Verdict("good", "✓", "Up to date", sentence)
    return Verdict("calm", "▸", "Pending", sentence)


def _drift(document: Document) -> Verdict:
    if document["outcome"] == "noop":
        return Verdict("good", "✓", "No drift", "nothing was changed outside the migrations")
    return Verdict("good", "✓", "Accepted", "what was changed is taken as it is")


def _history(document: Document) -> Verdict:
    return Verdict("calm", "▸", "History", many(len(events(document)), "entry", "entries"))


def _fine(_: Document) -> Verdict:
    return Verdict("good", "✓", "Fine", "every file is fine")


def _written(document: Document) -> Verdict:
    return Verdict("good", "✓", "Written", many(len(said(document)), "file"))


# The commands that only look, or only write files, where nothing failed.
_LOOKS = {
    "status": _status, "history": _history, "drift": _drift, "validate": _fine, "lint": _fine,
    "new": _written, "report": _written,
}  # fmt: skip


def _stopped(document: Document, error: Error) -> Verdict:
    applied = ran(document)
    done = many(len(applied), "migration")
    left = len(waiting(document))
    if document["outcome"] == "incomplete" and (applied or left):
        return Verdict("warn", "…", "Incomplete", f"{done} done, {left} left: run it again")
    name = failed(document)
    what = f"{name} failed" if name else error["message"]
    if document["command"] == "drift" and error["kind"] == "validation":
        return Verdict("bad", "!", "Drift", what)
    if rehearsal(document):
        return Verdict("bad", "✗", "Failed", f"On a copy: {what}")
    if not (applied or document["pending"]):
        if document["outcome"] == "incomplete":
            return Verdict("warn", "…", "Incomplete", what)
        return Verdict("bad", "✗", "Failed", what)
    return Verdict("bad", "✗", "Failed", f"{what}; {done} done before, {left} not run")


def outlook(files: Sequence[ToRun]) -> Verdict:
    """Return what a plan's files mean for who has to let them run."""
    verb = "undo" if all(file.action == "undo" for file in files) else "run"
    count = f"{many(len(files), 'file')} to {verb}"
    risks = [file.seen["risk"] for file in files if file.seen]
    if not risks:  # a dry run does not look at the target
        return Verdict("calm", "▸", "Planned", count)
    if blocking := risks.count("block"):
        return Verdict("bad", "!", "Would block", f"{count}, {blocking} would block others")
    if noticed := risks.count("notice"):
        return Verdict("warn", "!", "Be aware", f"{count}, {noticed} with something to know")
    return Verdict("good", "✓", "No risk seen", count)


def _proof(document: Document) -> Verdict:
    states = [standing(entry) for entry in verified(document)]
    counts = {name: states.count(name) for name in ("proved", "irreversible", "not proved")}
    said = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    sentence = f"{many(len(states), 'migration')}: {said}"
    if counts["not proved"] or document["error"]:
        return Verdict("bad", "✗", "Not proved", sentence)
    return Verdict("good", "✓", "Proved", sentence)
