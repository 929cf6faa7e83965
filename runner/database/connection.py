"""From an address and a way to log in to a session that is set up the right way."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import parse_dsn

from runner.database import credentials
from runner.deadline import backoff
from runner.errors import ConfigurationError, Unreachable
from runner.report import wording
from runner.result import Target as Described
from runner.streams import Overheard

# Seconds. libpq's own waits and the server's watch for a client that is gone.
_CONNECT_TIMEOUT = 10
_CLIENT_CHECK = "5s"
LOCK = 10  # that a statement of ours may wait for a lock, on the history above all
_LOOK = "5s"  # that a look of a second connection may take
_PATIENCE, _PATIENCE_HERE = 60.0, 10.0
_SAID = 2_000  # characters of what the server says at a login
_PAUSES = (0.25, 5.0)  # first and longest pause between two tries to connect

# What an administrator may want to see in pg_stat_activity; the run id follows it.
APPLICATION = "schema-migrations"

# libpq gives no SQLSTATE for a failed connect, so its words decide: these pass by themselves
# (a resuming Aurora, a restart, too many clients); anything else, a wrong password above all,
# is not tried again.
_PASSING = re.compile(
    r"connection refused|timeout expired|timed out|server closed the connection"
    r"|starting up|shutting down|too many clients|remaining connection slots|could not receive data"
    r"|Connection reset|Temporary failure in name resolution|in recovery mode|SSL SYSCALL",
    re.IGNORECASE,
)
_VERIFIED = "verify-full"
_HERE = re.compile(r"localhost|127(\.\d+){3}|::1", re.IGNORECASE)
_WRONG_PASSWORD = re.compile(r"password authentication failed|PAM authentication failed")


# The variables that are looked at here; libpq reads the others by itself.
_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
}


class Target(NamedTuple):
    """One database and how to log in to it.

    `parameters` are libpq's, without a password from a secret or token: those are fetched
    anew for each connection, because AWS rotates the one and lets the other expire.

    `schema`: it is one schema of the database, in which the history is and files run; `extensions`
    is another, in which they find what extensions made.
    """

    parameters: Mapping[str, str]
    secret_arn: str | None = None
    iam: bool = False
    role: str | None = None
    as_role: bool = False  # log in as the role, with what derives from the secret's password
    schema: str | None = None
    extensions: str | None = None

    @property
    def home(self) -> str:
        """The schema of the history."""
        return self.schema or "public"

    def elsewhere(self, database: str) -> Target:
        """Return another database of the same server, with the same login."""
        return self._replace(parameters={**self.parameters, "dbname": database})

    def path(self) -> str | None:
        """Return the search_path of one schema; None: what role and database give."""
        if self.schema is None:
            return None
        names = filter(None, (self.schema, self.extensions))
        return ", ".join('"{}"'.format(name.replace('"', '""')) for name in names)

    def describe(self) -> Described:
        """Return what may be shown of the target: never a password."""
        names: tuple[Literal["host", "port", "dbname", "user"], ...] = (
            "host", "port", "dbname", "user",
        )  # fmt: skip
        shown: Described = {}
        for name in names:
            if value := self.parameters.get(name):
                shown[name] = value
        if self.schema:
            shown["schema"] = self.schema
        return shown


def is_given(url: str | None, environ: Mapping[str, str] | None = None) -> bool:
    """Return whether anything says which database is meant."""
    environ = os.environ if environ is None else environ
    names = ("DATABASE_URL", "PGHOST", "PGDATABASE", "PGSERVICE")
    return bool(url) or any(environ.get(name) for name in names)


def target(
    url: str | None, environ: Mapping[str, str] | None = None, *, verified: bool = False
) -> Target:
    """Resolve the target from a URL (or DSN) or, without one, from the environment.

    Parameters:
        url: postgresql://user@host/db or "host=… dbname=…"; None: DATABASE_URL, then PG*. Where
            neither names an sslmode, TLS is verified for a secret, a token and any other host.
        environ: the environment; os.environ where None.
        verified: TLS is verified whatever the host, and a weaker sslmode is refused.

    Raises:
        ConfigurationError: not a URL, nothing says which database is meant, or a weaker sslmode.
    """
    environ = os.environ if environ is None else environ
    text = url or environ.get("DATABASE_URL")
    if not is_given(url, environ):
        raise ConfigurationError(
            "no database given",
            fix="pass --database-url postgresql://user@host/db, or set DATABASE_URL or PGHOST, …;"
            " or try it without one: --embedded keeps a database in this folder",
        )
    try:
        parameters = parse_dsn(text) if text else {}
    except psycopg2.ProgrammingError as error:
        # libpq may quote the text, password and all.
        raise ConfigurationError(
            "the database URL cannot be read", fix="write postgresql://user@host:5432/database"
        ) from error
    # A service's own parameters count more than the environment: libpq looks after that.
    if not (parameters.get("service") or environ.get("PGSERVICE")):
        for name, variable in _VARIABLES.items():
            if environ.get(variable):
                parameters.setdefault(name, environ[variable])
    found = Target(
        parameters,
        secret_arn=environ.get("DATABASE_SECRET_ARN"),
        iam=environ.get("DATABASE_IAM_AUTH", "").lower() in {"1", "true"},
        role=environ.get("DATABASE_ROLE"),
    )
    if verified:
        _refuse_weaker(parameters.get("sslmode", environ.get("PGSSLMODE")))
        parameters["sslmode"] = _VERIFIED
    elif "service" not in parameters and not environ.get("PGSERVICE") and _is_exposed(found):
        parameters.setdefault("sslmode", _VERIFIED)
    return found


def _refuse_weaker(mode: str | None) -> None:
    if mode not in {None, _VERIFIED}:
        raise ConfigurationError(
            f"sslmode={mode} is weaker than {_VERIFIED}, and here TLS is verified always",
            fix="take sslmode out of DATABASE_URL or PGSSLMODE; PGSSLROOTCERT names the"
            " authorities of another server than RDS's",
        )


def patience(to: Target) -> float:
    """Return the seconds to wait for a server of which nobody says how long it may take.

    One of this machine is not resumed, and where nobody listens most often nothing was started.
    """
    return _PATIENCE_HERE if _is_near(to) else _PATIENCE


def _is_exposed(found: Target) -> bool:
    """Return whether a login could be read on its way, or given to whoever answers instead.

    A secret or a token is worth it wherever it goes: who listens on a port here may be anybody.
    """
    return bool(found.secret_arn or found.iam) or not _is_near(found)


def _is_near(found: Target) -> bool:
    """Return whether every host that a target names is this machine."""
    hosts = found.parameters.get("host") or found.parameters.get("hostaddr") or ""
    return all(map(_is_here, hosts.split(",")))


def _is_here(host: str) -> bool:
    """Return whether a host is this machine: a socket's folder, or the loopback."""
    return not host or host[0] in "/@" or bool(_HERE.fullmatch(host))


def connect(
    to: Target,
    *,
    run_id: str,
    wait: float,
    progress: Callable[[str], None] = lambda _: None,
) -> Connection:
    """Open an autocommit connection, waiting for a database that is waking up.

    Parameters:
        run_id: shown in pg_stat_activity's application_name.
        wait: seconds to go on trying while the server does not answer; authentication errors
            are final at once, but for one fresh look at a secret that was just rotated.
        progress: told why it waits, and what the server says at the login: libpq would write
            it to standard error as it is, before anybody can ask for it.

    Raises:
        Unreachable: with the last reason.
    """
    until = time.monotonic() + wait
    pauses = backoff(*_PAUSES)
    fetched_again = False
    while True:
        parameters = _parameters(to, run_id, wait)
        try:
            with Overheard() as login:
                opened = _opened(parameters, _path_option(to))
        except psycopg2.OperationalError as error:
            reason = _reason(error)
            if to.secret_arn and _WRONG_PASSWORD.search(reason) and not fetched_again:
                fetched_again = True
                continue
            left = until - time.monotonic()
            if not _PASSING.search(reason) or left <= 0:
                raise _unreachable(to, reason) from error
            progress(f"waiting for the database (up to {left:.0f} s more): {reason}")
            time.sleep(min(next(pauses), left))
        else:
            if login.text:
                said = wording.bounded(login.text, _SAID)
                progress(f"at the login the server says: {said}")
            opened.autocommit = True
            return opened


def _opened(parameters: Mapping[str, Any], path: str) -> Connection:
    """Connect; again where something is to be given at the login that only then turns out.

    A role's default would have psycopg2 quote backslashes for ever: it decides at the login how it
    quotes values, whatever the session sets afterwards. And only libpq knows a service's options.

    Parameters:
        path: the option that sets search_path, so that a file's RESET comes back to it; or nothing.
    """
    opened: Connection = psycopg2.connect(**parameters)
    asked = opened.info.dsn_parameters.get("options", "")
    lacking = [] if path in asked else [path]
    if opened.get_parameter_status("standard_conforming_strings") == "off":
        lacking.append("-c standard_conforming_strings=on")
    if not lacking:
        return opened
    opened.close()
    options = " ".join([asked, *lacking]).strip()
    again: Connection = psycopg2.connect(**{**parameters, "options": options})
    return again


def _path_option(to: Target) -> str:
    """Return the option that lets a session's search_path be the target's schema, if it is one."""
    path = to.path()
    return "-c search_path=" + re.sub(r"([\\\s])", r"\\\1", path) if path else ""


def looking(to: Target, *, run_id: str) -> Connection:
    """Open a second connection that only looks, and neither waits nor works for long.

    Raises:
        Unreachable: it cannot be had at once.
        psycopg2.Error: it was lost.
    """
    opened = connect(to, run_id=run_id, wait=0)
    with opened.cursor() as cursor:
        cursor.execute(f"set search_path = {SAFE_PATH}; set statement_timeout = '{_LOOK}'")
    return opened


def login(to: Target) -> dict[str, str]:
    """Return what of a target's user and password AWS knows, anew each time; it may be nothing.

    Raises:
        Unreachable: Secrets Manager refuses or does not answer.
        ConfigurationError: the secret is none of a database's, or a token cannot be made.
    """
    if to.iam and not to.secret_arn:
        return {"password": credentials.token(to.parameters)}
    if not to.secret_arn:
        return {}
    found = credentials.secret(to.secret_arn)
    if not to.as_role or not to.role:
        return found
    return {"user": to.role, "password": credentials.derived(found["password"], to.role)}


def _parameters(to: Target, run_id: str, wait: float) -> dict[str, Any]:
    # What is given here would count more than a service's.
    if to.schema and not (to.parameters.get("service") or os.environ.get("PGSERVICE")):
        given = to.parameters.get("options", os.environ.get("PGOPTIONS", ""))
        to = to._replace(
            parameters={**to.parameters, "options": f"{given} {_path_option(to)}".strip()}
        )
    return {
        # libpq takes 1 for 2; who does not want to wait gives a server that is there its time.
        "connect_timeout": max(2, min(_CONNECT_TIMEOUT, round(wait))) if wait else _CONNECT_TIMEOUT,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
        **to.parameters,
        **login(to),
        "application_name": f"{APPLICATION}/{run_id}"[:63],
        "client_encoding": "UTF8",
    }


def _reason(error: psycopg2.OperationalError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines) or "no reason given"


def _unreachable(to: Target, reason: str) -> Unreachable:
    where = to.describe()
    name = f"{where.get('host', 'the local socket')}:{where.get('port', '5432')}"
    if "host" not in where and (service := to.parameters.get("service")):
        name = f"service {service}"
    if to.iam and "authentication" in reason:
        fix = "check that the user is a member of rds_iam and this role may rds-db:connect as it"
    elif _WRONG_PASSWORD.search(reason) or "authentication" in reason:
        fix = "check user and password (a secret may have been rotated, a token lives 15 minutes)"
    elif "certificate" in reason or "support SSL" in reason:
        fix = (
            "TLS is verified unless you say otherwise: give sslrootcert (for RDS, AWS's bundle),"
            " connect by the name that the certificate carries, or name a weaker sslmode"
        )
    elif "does not exist" in reason:
        fix = "create the database or role, or correct its name"
    else:
        fix = "check host, port and security groups, and that the server runs"
    return Unreachable(f"cannot connect to {name}: {reason}", fix=fix)


# Where statements of ours look for functions, operators and types: a better match that somebody
# puts into another schema is none.
SAFE_PATH = "pg_catalog, pg_temp"

# One round trip says all that is refused or needed to know about the session. The path that it
# has by itself is kept for the files.
INSPECT = f"""
    reset all;
    select pg_catalog.set_config('runner.path', pg_catalog.current_setting('search_path'), false);
    set search_path = {SAFE_PATH};
    select pg_catalog.pg_backend_pid() as pid,
           pg_catalog.pg_is_in_recovery() as standby,
           pg_catalog.current_setting('transaction_read_only') = 'on' as read_only,
           pg_catalog.current_setting('server_version_num')::int as version,
           pg_catalog.current_setting('server_version') as version_text,
           pg_catalog.current_database() as database,
           session_user as login,
           pg_catalog.current_setting('runner.path') as path
"""


# What a database, a role or a login can carry and would reach what the runner reads and does,
# with the versions that know it. Limits of time are the runner's own: it pauses on purpose, and
# sets what each file may take.
_SETTINGS: tuple[tuple[int, str], ...] = (
    (0, f"search_path = {SAFE_PATH}"),
    (0, "standard_conforming_strings = on"),
    (0, "client_min_messages = notice"),
    (0, "quote_all_identifiers = off"),
    (0, "datestyle = 'ISO, MDY'"),
    (0, "statement_timeout = 0"),
    (0, f"lock_timeout = '{LOCK}s'"),
    # Of a client that froze, or whose host is gone, with its locks.
    (0, "idle_in_transaction_session_timeout = '30s'"),
    (0, "tcp_keepalives_idle = 30"),
    (0, "tcp_keepalives_interval = 10"),
    (0, "tcp_keepalives_count = 3"),
    (140000, "idle_session_timeout = 0"),
    (140000, f"client_connection_check_interval = '{_CLIENT_CHECK}'"),
    (170000, "transaction_timeout = 0"),
)


# How the server writes what it keeps as trees, the same in each look at the catalog. Files run with
# what their role and database give them.
WRITTEN = "".join(
    f"set local {text}; "
    for text in (
        "bytea_output = 'hex'",
        "extra_float_digits = 1",
        "intervalstyle = 'postgres'",
        "timezone = 'UTC'",
    )
)


def settings(server_version: int) -> str:
    """Return the SQL that sets a session's own settings, to run at first and after each file.

    The server then notices within seconds that a client is gone (14 and later): a killed
    runner's statement and lock do not live on.
    """
    return "".join(f"set {text}; " for version, text in _SETTINGS if server_version >= version)
