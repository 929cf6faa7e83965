"""TLS in front of the emulated Aurora is the real thing: verified, required, cancellable."""

import concurrent.futures
import datetime as dt
import ssl

import psycopg2
import pytest
import trustme

from local.postgres.certificates import ensure_certificates


def connect(server, port, **options):
    return psycopg2.connect(
        host="localhost", port=port, user="postgres", password=server.password,
        dbname="postgres", **options,
    )  # fmt: skip


def test_a_verified_session_works(server, front, certificates):
    session = connect(server, front, sslmode="verify-full", sslrootcert=certificates / "ca.pem")
    assert session.info.ssl_in_use
    with session.cursor() as cursor:
        cursor.execute("select repeat('x', 5000000)")
        assert len(cursor.fetchone()[0]) == 5_000_000
        cursor.execute("select length(%s)", ("y" * 5_000_000,))
        assert cursor.fetchone() == (5_000_000,)
    session.close()


def test_another_authority_is_refused(server, front, tmp_path):
    ensure_certificates(tmp_path)
    with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
        connect(server, front, sslmode="verify-full", sslrootcert=tmp_path / "ca.pem")


def test_a_session_without_tls_is_refused(server, front):
    with pytest.raises(psycopg2.OperationalError, match="sessions with TLS only"):
        connect(server, front, sslmode="disable")


def test_a_running_statement_can_be_cancelled(server, front):
    session = connect(server, front, sslmode="require")
    watcher = psycopg2.connect(server.url())
    watcher.autocommit = True  # one snapshot per look, not one for all
    with concurrent.futures.ThreadPoolExecutor(1) as pool, session.cursor() as cursor:
        running = pool.submit(cursor.execute, "select pg_sleep(60)")
        with watcher.cursor() as look:
            seen = 0
            while not seen:
                look.execute(
                    "select count(*) from pg_stat_activity "
                    "where pid = %s and wait_event = 'PgSleep'",
                    (session.info.backend_pid,),
                )
                (seen,) = look.fetchone()
        session.cancel()
        with pytest.raises(psycopg2.errors.QueryCanceled):
            running.result()
    watcher.close()
    session.close()


def test_the_authority_is_kept_and_the_key_is_private(certificates):
    before = (certificates / "ca.pem").read_bytes()
    ensure_certificates(certificates)
    assert (certificates / "ca.pem").read_bytes() == before
    assert (certificates / "server.pem").stat().st_mode & 0o777 == 0o600


def test_an_authority_that_is_over_is_replaced(tmp_path):
    over = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)
    began = over - dt.timedelta(days=1)
    issued = trustme.CA().issue_cert("localhost", not_before=began, not_after=over)
    for name in ("ca.pem", "server.pem"):
        (tmp_path / name).write_bytes(issued.private_key_and_cert_chain_pem.bytes())
    ensure_certificates(tmp_path)
    (server,) = ssl_context(tmp_path).get_ca_certs()
    assert "schema-migrations" in str(server["subject"])


def ssl_context(folder):
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.load_cert_chain(folder / "server.pem")
    return context
