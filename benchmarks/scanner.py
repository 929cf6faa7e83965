"""How fast the scanner reads files of 50 MB, and what memory it takes beyond their text.

Run: .venv/bin/python benchmarks/scanner.py [MEGABYTES]
"""

import sys
import time
import tracemalloc

from runner.syntax.nontransactional import non_transactional
from runner.syntax.scanner import scan
from runner.syntax.statements import problems

ROW = "INSERT INTO public.customer VALUES (%d, 'O''Brien', 'text; with -- marks', now());\n"
TABLE = """create table shop.t%d (
    id bigint generated always as identity, -- the key;
    name text not null default 'x', /* ; */
    constraint c check (length(name) > 3 and (name <> E'a\\'b'))
);
"""
FUNCTION = """create function f%d(a int) returns int language plpgsql as $$
begin
    return a; -- ;
end $$;
"""
ATOMIC = "create function f%d() returns int begin atomic select case a when 1 then 2 end; end;\n"


def texts(size: int) -> dict[str, str]:
    """Make one file of about this many characters for each kind of content."""

    def repeat(line: str) -> str:
        return "".join(line % number for number in range(size // len(line)))

    rows = ",\n".join(["(1, 'a;b', null, 2.5, E'\\n')"] * (size // 32))
    data = "1\tsome text; 'of' a row\tnull\n" * (size // 29)
    return {
        "INSERT, a row each": repeat(ROW),
        "INSERT, all rows in one": f"insert into t values {rows};",  # noqa: S608 (nobody runs it)
        "CREATE TABLE": repeat(TABLE),
        "functions in dollar quotes": repeat(FUNCTION),
        "functions with BEGIN ATOMIC": repeat(ATOMIC),
        "COPY data": f"copy t from stdin;\n{data}\\.\n",
        "one literal": f"select '{'x' * size}';",
    }


def measure(text: str) -> tuple[int, float, float, float]:
    """Return statements, MB/s of scan, MB/s with all checks, and the extra memory's peak in MB."""
    start = time.perf_counter()
    count = sum(1 for _ in scan(text))
    scanned = time.perf_counter()
    problems(text)
    for statement in scan(text):
        non_transactional(statement)
    checked = time.perf_counter()
    tracemalloc.start()
    for _ in scan(text):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = len(text) / 1e6
    return count, size / (scanned - start), size / (checked - scanned), peak / 1e6


def main() -> None:
    """Print a line for each kind of content."""
    size = int(sys.argv[1] if sys.argv[1:] else 50) * 1_000_000
    print(f"{'content':30}{'statements':>12}{'scan MB/s':>12}{'all MB/s':>12}{'extra MB':>12}")
    for name, text in texts(size).items():
        count, scan_rate, all_rate, peak = measure(text)
        print(f"{name:30}{count:12}{scan_rate:12.1f}{all_rate:12.1f}{peak:12.3f}")


if __name__ == "__main__":
    main()
