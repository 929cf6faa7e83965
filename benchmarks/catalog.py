"""How long the schema's fingerprint takes: `python benchmarks/catalog.py [TABLES]`."""

import sys
import time

import psycopg2

from runner.database import catalog
from runner.embedded import temporary_server

_TABLE = """
    create table t{0} (id bigint generated always as identity primary key,
        a text not null default 'x', b int check (b > 0), c timestamptz, d numeric(10, 2),
        e jsonb, f uuid);
    create index on t{0} (a); create index t{0}_b on t{0} (b);
"""


def main() -> None:
    """Make the tables and print the time of three readings."""
    tables = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with temporary_server() as server:
        connection = psycopg2.connect(server.url())
        connection.autocommit = True
        with connection.cursor() as cursor:
            for start in range(0, tables, 100):
                cursor.execute("".join(_TABLE.format(n) for n in range(start, start + 100)))
        for _ in range(3):
            began = time.perf_counter()
            found = catalog.read(connection, ignored="^$")
            seconds = time.perf_counter() - began
            print(f"{tables} tables, {len(found.objects)} objects: {seconds:.3f} s")
        connection.close()


if __name__ == "__main__":
    main()
