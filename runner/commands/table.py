"""Every command, once: name, help, options, what runs, what it shows, and where it may run.

The command line's parser, the check of a Lambda's event, the options of `invoke`, the output and
the reference page are made from these records. What a command runs is imported when it runs: a
command costs the time of its own imports, not of all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from runner.commands.command import (
    Command,
    Context,
    Needs,
    Option,
    Options,
    digests,
    named_run,
    named_schema,
    positive,
    share,
    sized,
)
from runner.engine.snapshot import Snapshot, snapshot_arn
from runner.engine.throttle import Pause, hours, pause
from runner.files.directives import with_unit
from runner.files.folder import parse_version
from runner.report import text
from runner.result import Document, Result

if TYPE_CHECKING:
    from runner.engine.plan import Policy
    from runner.engine.run import Run


def new_run_id() -> str:
    """Return an id for a run that nobody named."""
    return f"{os.environ.get('USER', 'run')}-{os.urandom(4).hex()}"


def _migrate(context: Context, options: Options) -> Document:
    return migrated(context.database(None), options).document()


def migrated(run: Run, options: Options) -> Result:
    """Apply what is pending, as the options of migrate say."""
    from runner.engine.evidence import Evidence
    from runner.engine.migrate import migrate

    return migrate(
        run._replace(create_schema=options.get("create_schema", False)),
        policy(options),
        single=options.get("single_transaction", False),
        dry_run=options.get("dry_run", False),
        on_drift=options.get("on_drift", "warn"),
        plan_digests=options.get("plan_digest", ()),
        evidence=Evidence(
            options.get("proved"), options.get("promoted"), options.get("without_evidence")
        ),
        snapshot=_snapshot(options),
    )


def _snapshot(options: Options) -> Snapshot:
    return Snapshot(options.get("snapshot"), options.get("require_snapshot", False))


def _plan(context: Context, options: Options) -> Document:
    from runner.engine.migrate import plan

    return plan(context.database(None), policy(options)).document()


def policy(options: Options) -> Policy:
    """Return what the options of migrate and plan allow."""
    from runner.engine.plan import Policy

    return Policy(
        target=options.get("target"),
        out_of_order=options.get("allow_out_of_order", False),
        ahead=options.get("allow_ahead", False),
        others=options.get("allow_other_history", False),
        after_deploy=options.get("after_deploy", False),
    )


def _rollback(context: Context, options: Options) -> Document:
    from runner.engine.migrate import rollback

    return rollback(
        context.database(None),
        to=options.get("to"),
        steps=options.get("steps"),
        plan_digests=options.get("plan_digest", ()),
        yes=options.get("yes", False),
        snapshot=_snapshot(options),
    ).document()


def _status(context: Context, options: Options) -> Document:
    from runner.commands.status import status

    return status(
        context.database(None),
        check_only=options.get("check", False),
        with_drift=options.get("drift", False),
    ).document()


def _fleet_migrate(context: Context, options: Options) -> Document:
    from runner.commands.fleet import fleet

    return fleet(context, "migrate", options, wanted=frozenset({"current", "behind"})).document()


def _fleet_plan(context: Context, options: Options) -> Document:
    from runner.commands.fleet import fleet

    return fleet(context, "plan", options, wanted=frozenset({"current", "behind"})).document()


def _fleet_status(context: Context, options: Options) -> Document:
    from runner.commands.fleet import fleet

    more = () if options.get("check") else ("behind", "differs")
    wanted = frozenset({"current", *more})
    return fleet(context, "status", options, wanted=wanted).document()


def _backfill(context: Context, _: Options) -> Document:
    from runner.commands.backfill import backfill

    return backfill(context.database(None)).document()


def _history(context: Context, options: Options) -> Document:
    from runner.commands.history import history

    return history(context.database(None), options.get("limit", 50)).document()


def _drift(context: Context, options: Options) -> Document:
    from runner.commands.drift import drift

    return drift(context.database(None), accept=options.get("accept")).document()


def _validate(context: Context, options: Options) -> Document:
    from runner.commands.validate import validate

    run = context.database(None) if options.get("against_database") else None
    return validate(run, context.sql_dir, context.run_id).document()


def _verify(context: Context, options: Options) -> Document:
    from runner.commands.verify import verify

    return verify(
        context.database,
        context.url,
        sample_rows=options.get("sample_rows", False),
        evidence=options.get("evidence"),
        given=options.get("given"),
    )


def _rehearse(context: Context, options: Options) -> Document:
    from runner.commands.rehearse import ITSELF, Limits, rehearse
    from runner.errors import ConfigurationError

    limits = Limits(options.get("held"), options.get("above", 0), options.get("took"))
    if context.on_copy and "copy" in options:
        raise ConfigurationError("the function rehearses on the copy that it is given: no --copy")
    copy = ITSELF if context.on_copy else options.get("copy")
    return rehearse(context.database, policy(options), limits, copy=copy).document()


def _lint(context: Context, options: Options) -> Document:
    from runner.lint.rules import lint

    return lint(
        context.sql_dir,
        context.run_id,
        base=options.get("base"),
        server_version=options.get("server_version", "17"),
    ).document()


def _rewrite(context: Context, options: Options) -> Document:
    from runner.lint.rewrite import rewrite

    return rewrite(
        context.sql_dir, options["file"], context.run_id, yes=options.get("yes", False)
    ).document()


def _report(context: Context, options: Options) -> Document:
    from runner.commands.report import report

    return report(
        options["result"],
        context.run_id,
        output=options.get("output"),
        comment=options.get("markdown"),
        told=options.get("variables"),
        scan=options.get("sarif"),
        source_code=options.get("source_code"),
        rehearsal=options.get("rehearsal"),
    ).document()


def _new(context: Context, options: Options) -> Document:
    from runner.commands.new import new

    edit = options.get("edit", False)
    return new(context.sql_dir, options["name"], context.run_id, edit=edit).document()


def _import_files(context: Context, options: Options) -> Document:
    from runner.foreign.importing import import_files

    return import_files(
        context.sql_dir,
        options["tool"],
        options["folder"],
        context.run_id,
        yes=options.get("yes", False),
    ).document()


def _baseline(context: Context, options: Options) -> Document:
    from runner.commands.baseline import baseline

    yes = options.get("yes", False)
    return baseline(context.database(None), options["version"], yes=yes).document()


def _adopt(context: Context, options: Options) -> Document:
    from runner.commands.adopt import adopt

    return adopt(
        context.database(None),
        options["tool"],
        at=options.get("at"),
        yes=options.get("yes", False),
    ).document()


def _repair(context: Context, options: Options) -> Document:
    from runner.commands.repair import repair

    return repair(
        context.database(None),
        done=options.get("done"),
        again=options.get("again"),
        forget=options.get("forget"),
        yes=options.get("yes", False),
    ).document()


def _invoke(context: Context, options: Options) -> Document:
    from runner.commands.invoke import invoke
    from runner.errors import ConfigurationError, NotThere

    files, first = context.sql_dir if options.get("send_files") else None, options.get("first")
    command = options["command"]
    if first and (command not in {"plan", "rehearse"} or files is None):
        raise ConfigurationError(
            "--first is for a plan or a rehearsal of files that are sent: --send-files plan"
        )
    try:
        return invoke(
            options["function"],
            run_id=context.run_id,
            command=command,
            options=options["options"],
            progress=context.progress,
            files=files,
            schema=options.get("schema"),
            follow=options.get("follow"),
        )
    except NotThere as error:
        if not first:
            raise
        if command == "rehearse":
            return _nothing_to_rehearse_on(context)
        return _first(context, options, f"{error.message}: everything is new")


def _nothing_to_rehearse_on(context: Context) -> Document:
    from runner.commands.rehearse import nothing_rehearsed

    why = "not rehearsed: there is no function for rehearsals yet"
    return nothing_rehearsed(context.run_id, why).document()


def _first(context: Context, options: Options, why: str) -> Document:
    from runner.engine.migrate import plan_first

    values = COMMANDS["plan"].values(options["options"])
    planned = plan_first(context.sql_dir, context.run_id, policy(values), options["first"])
    planned.warnings.append(why)
    return planned.document()


_FILES = frozenset({Needs.FILES})
_DATABASE = frozenset({Needs.DATABASE})
_BOTH = _FILES | _DATABASE

_POLICY = (
    Option("target", "the last version to apply", "V", str, parse_version, once=True),
    Option("after_deploy", "the new code is there: also the files that wait for it", once=True),
    Option("allow_out_of_order", "apply versions older than the newest", rare=True),
    Option("allow_ahead", "accept a database newer than every file", rare=True),
    Option("allow_other_history", "begin beside another tool's history", once=True, rare=True),
)
_YES = Option("yes", "do it", once=True)
_FLEET = (
    Option(
        "targets",
        "who they are: JSON objects with name, schema, dbname, host, service, …",
        "FILE",
        str,
        Path,
        one_of="who",
    ),
    Option(
        "targets_query",
        "or a query on the database given: columns name, schema, dbname",
        "SQL",
        str,
        one_of="who",
    ),
    Option(
        "state_machine",
        "have this one do it, on AWS; targets then have name, schema, function, role",
        "ARN",
        str,
    ),
    Option("at_once", "how many at the same time (one for each processor)", "N", int, positive),
    Option("results", "also write what came of each, a line of JSON as it ends", "FILE", str, Path),
)
_SNAPSHOT = (
    Option("snapshot", "that of before this run (or: none), for who must go back", "ARN",
           str, snapshot_arn, once=True, rare=True),
    Option("require_snapshot", "refuse without one what may lose data for good", rare=True),
)  # fmt: skip

_EVIDENCE = (
    Option("proved", "run only if the files' digest is this, of verify", "D", str, once=True,
           rare=True),
    Option("promoted", "run only if the files' digest is this, of a migrate elsewhere", "D", str,
           once=True, rare=True),
    Option("without_evidence", "in an emergency: run without those two; why, for the history",
           "WHY", str, once=True, rare=True),
)  # fmt: skip

_ALL = (
    Command(
        "migrate", "apply what is pending", _migrate,
        (
            *_POLICY,
            Option("dry_run", "print the SQL, run nothing", once=True),
            Option("create_schema", "make the schema of --schema where it is not there", rare=True),
            Option("single_transaction", "all pending files in one transaction", rare=True),
            Option("plan_digest", "run only the plan of this digest (see plan), or of these: D,D",
                   "D", str, digests, once=True, rare=True),
            *_EVIDENCE,
            Option("on_drift", "what to do about changes made outside the migrations (warn)",
                   kind=str, choices=("warn", "fail", "ignore")),
            *_SNAPSHOT,
        ),
        needs=_BOTH, right="live", aliases=("up",),
    ),
    Command(
        "plan", "show what migrate would do here: SQL, locks, sizes, risk, digest", _plan,
        _POLICY, needs=_BOTH, right="read",
    ),
    Command(
        "rollback", "undo the newest versions with their U files: says what gets lost, then --yes",
        _rollback,
        (
            Option("to", "the version that is the newest afterwards", "V", str, parse_version,
                   one_of="which", once=True),
            Option("steps", "how many versions to undo", "N", int, positive, one_of="which",
                   once=True),
            Option("plan_digest", "undo only what was shown with this digest", "D", str, digests,
                   once=True, rare=True),
            *_SNAPSHOT,
            _YES,
        ),
        needs=_BOTH, right="admin", one_needed=True, aliases=("down", "undo"),
    ),
    Command(
        "backfill", "go on with the backfills that migrate left for the background", _backfill,
        needs=_BOTH, right="live",
    ),
    Command(
        "status", "list every migration with its state", _status,
        (
            Option("check", "exit 6 where files and history differ, 8 if pending"),
            Option("drift", "exit 6 where the schema was changed by other means"),
        ),
        needs=_BOTH, right="read", summary=text.standings, aliases=("info",), lines=text.backfills,
        columns=("version", "description", "state", "undo", "applied_at", "applied_by"),
    ),
    Command(
        "fleet migrate", "apply what is pending in many targets at once", _fleet_migrate,
        (
            *_FLEET,
            Option("canary", "so many first; the others only if all of those succeed", "N", int,
                   positive),
            Option("tolerate", "how many may fail before no more are started, or which part of"
                   " all (0)", "N|N%", str, share),
            Option("plan_digest", "run only plans of these digests (see fleet plan)", "D,D", str,
                   digests, once=True),
            Option("on_drift", "what to do about changes made outside the migrations (warn)",
                   kind=str, choices=("warn", "fail", "ignore")),
            Option("create_schema", "make the schemas that are not there"),
            *_POLICY[1:],
            *_EVIDENCE,
            _SNAPSHOT[0],
        ),
        needs=_BOTH, lines=text.fleet, summary=text.members, one_needed=True,
    ),
    Command(
        "fleet plan", "show what fleet migrate would do: which files in how many targets, and the"
        " digest that approves it", _fleet_plan,
        (
            *_FLEET,
            *_POLICY[1:],
            Option("send_files", "with a state machine: plan with the files of --sql-dir, not with"
                   " the functions' own", once=True, rare=True),
            Option("first", "where there is no such state machine yet, plan all of them as new",
                   once=True, rare=True),
        ),
        needs=_BOTH, lines=text.fleet, summary=text.members, one_needed=True,
    ),
    Command(
        "fleet status", "show who is where: at which version, behind, failed, unreachable",
        _fleet_status,
        (
            *_FLEET,
            Option("check", "exit 6 where files and history differ, 8 if pending"),
            Option("drift", "exit 6 where a schema was changed by other means"),
        ),
        needs=_BOTH, lines=text.fleet, summary=text.members, one_needed=True,
    ),
    Command(
        "history", "list what was done, undone, repaired: by whom, when, in which run", _history,
        (Option("limit", "newest N (50)", "N", int, positive),),
        needs=_BOTH, right="read", summary=text.entries,
        columns=("at", "action", "version", "description", "by", "run_id", "duration_ms"),
    ),
    Command(
        "drift", "show what was changed outside the migrations; exit 6 if so", _drift,
        (
            Option("accept", "take it as it is; the reason is recorded", "WHY", str, once=True),
        ),
        needs=_DATABASE, right="admin", lines=text.strings, summary=text.accepted,
    ),
    Command(
        "validate", "check every file, offline", _validate,
        (Option("against_database", "and the files against the history"),),
        needs=_BOTH, summary=text.fine,
    ),
    Command(
        "verify", "prove on a scratch database that every migration can be undone", _verify,
        (
            Option("sample_rows", "also on tables with rows; names what gets lost"),
            Option("evidence", "write what was proved", "FILE", str, Path, rare=True),
            Option("given", "SQL of what the files find in their databases, such as roles", "FILE",
                   str, Path, rare=True),
        ),
        needs=_BOTH, summary=text.proofs,
        columns=("version", "description", "undo", "proved", "irreversible"),
    ),
    Command(
        "rehearse", "run what is pending on a copy, and measure it: time, locks, disk", _rehearse,
        (
            *_POLICY,
            Option("copy", "of the target, made by other means; one is made on its server else",
                   "URL", str, once=True),
            Option("held", "fail where a lock that stops writes is held longer", "T", str,
                   with_unit),
            Option("above", "that limit is for tables from this size on (any)", "SIZE", str, sized),
            Option("took", "fail where all files take longer", "T", str, with_unit),
        ),
        needs=_BOTH, right="rehearse", summary=text.rehearsed,
    ),
    Command(
        "lint", "hold the files against the rules of squawk and our own, offline", _lint,
        (
            Option("base", "a git commit to be merged into: origin/main", "REF", str),
            Option("server_version", "the target's (17)", "N", str),
        ),
        needs=_FILES, lines=text.findings, summary=text.fine,
    ),
    Command(
        "rewrite", "write a file as those that do the same safely: says what, then --yes",
        _rewrite,
        (
            Option("file", "a V file that is applied nowhere", "FILE", str, positional=True,
                   required=True),
            _YES,
        ),
        needs=_FILES, lines=text.strings,
    ),
    Command(
        "report", "turn a result (of --json) into a page or a comment", _report,
        (
            Option("result", "'-' is stdin", "RESULT.json", str, positional=True, required=True),
            Option("output", "the HTML page (beside the result)", "FILE", str, Path, short="-o"),
            Option("markdown", "Markdown, for a comment", "FILE", str, Path),
            Option("variables", "what later steps of a pipeline are told, as variables of a shell",
                   "FILE", str, Path, rare=True),
            Option("sarif", "of lint: its findings as SARIF, for reviews", "FILE", str, Path),
            Option("source_code", "with that of a plan: tell whether this project's runner is"
                   " another than planned", "DIR", str, Path, rare=True),
            Option("rehearsal", "with that of a plan: the result of its rehearsal, whose times it"
                   " then shows", "FILE", str, rare=True),
        ),
        lines=text.strings, summary=lambda _: "written",
    ),
    Command(
        "new", "make the next V and U file", _new,
        (
            Option("name", "what it does", "NAME", str, positional=True, required=True),
            Option("edit", "open both in VISUAL or EDITOR"),
        ),
        needs=_FILES, lines=text.strings,
        summary=lambda _: "write the SQL of both, then migrate",
    ),
    Command(
        "import-files", "write another tool's files under our names: says what, then --yes",
        _import_files,
        (
            Option("tool", "whose files", "TOOL", str, positional=True, required=True,
                   choices=("golang-migrate", "dbmate", "goose", "diesel", "sqlx", "flyway",
                            "sqitch", "liquibase")),
            Option("folder", "where they are", "FOLDER", str, Path, positional=True,
                   required=True),
            _YES,
        ),
        needs=_FILES, lines=text.strings,
    ),
    Command(
        "baseline", "take everything up to a version as applied: says what, then --yes", _baseline,
        (
            Option("version", "the newest version that is there", "V", str, parse_version,
                   positional=True, required=True),
            _YES,
        ),
        needs=_BOTH, right="admin", lines=text.strings,
    ),
    Command(
        "adopt", "take over another tool's history: says what, then --yes", _adopt,
        (
            Option("tool", "whose history", "TOOL", str, positional=True, required=True,
                   choices=("flyway", "golang-migrate", "dbmate", "pgmigrate", "knex", "alembic",
                            "goose", "diesel", "sqlx", "sqitch", "liquibase")),
            Option("at", "the newest file whose changes are there", "V", str, parse_version,
                   once=True),
            _YES,
        ),
        needs=_BOTH, right="admin", lines=text.strings,
    ),
    Command(
        "repair", "make the history fit, after you have looked; says what, then --yes", _repair,
        (
            Option("done", "the statement in doubt took effect", "V", str, one_of="which",
                   once=True),
            Option("again", "the statement in doubt did not", "V", str, one_of="which",
                   once=True),
            Option("forget", "take a version out of the history", "V", str, one_of="which",
                   once=True),
            _YES,
        ),
        needs=_BOTH, right="admin", lines=text.strings,
    ),
    Command(
        "invoke", "run a command in the Lambda; fails unless success is proved", _invoke,
        (
            Option("function", "name or ARN, with its alias: NAME:live", "NAME", str,
                   required=True),
            Option("send_files", "let it plan with the files of --sql-dir, not with its own"),
            Option("follow", "wait for a build that an interrupted call has started, and call again"
                   " only if it did not finish", "BUILD", str, once=True, rare=True),
            Option("first", "where there is no such function yet, plan all of them as new, for a"
                   " database of this name; or rehearse none", "DATABASE", str, once=True,
                   rare=True),
        ),
        needs=_FILES,
    ),
)  # fmt: skip

COMMANDS = {command.name: command for command in _ALL}

# The options that several commands share, by what of them a command needs (None: every command).
SHARED: Mapping[Needs | None, Iterable[Option]] = {
    None: (
        Option("json", "the result document"),
        Option("save", "also write the result document, for runner report", "FILE", str, Path),
        Option("junit", "also write the result as JUnit XML", "FILE", str, Path, rare=True),
        Option("run_id", "recorded with what the run does", "ID", str, named_run, once=True,
               rare=True),
    ),
    Needs.FILES: (Option("sql_dir", "sql", "DIR", str, Path, default=Path("sql")),),
    Needs.DATABASE: (
        Option("database_url", "else DATABASE_URL, else PG*; keep passwords in ~/.pgpass or a"
               " secret", "URL", str),
        Option("schema", "one schema of it: its history is there, and files run there", "NAME", str,
               named_schema),
        Option("extension_schema", "with --schema: where files find what extensions made (nowhere"
               " by themselves)", "NAME", str, named_schema, rare=True),
        Option("embedded", "a PostgreSQL of this folder's own, in .postgres: runs while the command"
               " does; delete that folder to end it", once=True),
        Option("connect_wait", "seconds to wait for a server that does not answer (60; on this"
               " machine 10)", "S", float, rare=True),
        Option("deadline", "seconds after which the run must have stopped (none)", "S", float,
               rare=True),
        Option("lock_wait", "seconds to wait for another run (600)", "S", float, default=600.0,
               rare=True),
        Option("lock_timeout", "how long a migration waits for a table's lock before it gives way"
               " (2s)", "T", str, with_unit, default=2_000, rare=True),
        Option("batch_pause", "of a backfill, after each batch: 50% of its time, 200ms, 50%+200ms"
               " (none)", "T", str, pause, default=Pause(), rare=True),
        Option("batch_lag", "a backfill waits while a replica is further behind", "T", str,
               with_unit, rare=True),
        Option("batch_active", "a backfill waits while more other sessions are at work", "N", int,
               positive, rare=True),
        Option("batch_hours", "a backfill works in these hours only: 22:00-06:00 Europe/Berlin",
               "H", str, hours, rare=True),
        Option("lock_attempts", "how often it tries, with growing pauses (10)", "N", int,
               positive, default=10, rare=True),
    ),
}  # fmt: skip

# Of these the ones that say how a run from here works; who calls AWS has none of them.
_OF_A_CALL = {"database_url", "connect_wait", "deadline"}
OF_A_RUN = tuple(each for each in SHARED[Needs.DATABASE] if each.name not in _OF_A_CALL)
