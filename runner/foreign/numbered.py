"""Tools whose files carry their numbers: golang-migrate, sqlx, dbmate, goose, diesel, Flyway."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

from runner.foreign.source import Line, Part, Source, target
from runner.syntax.scanner import scan

_PAIR = re.compile(r"(?P<version>\d+)_(?P<title>.*?)\.(?P<way>up|down)\.sql")
_SQLX = re.compile(r"(?P<version>\d+)_(?P<title>.*?)(?:\.(?P<way>up|down))?\.sql")
_ONE = re.compile(r"(?P<version>\d+)(?P<title>.*)\.sql")
_FOLDER = re.compile(r"(?P<version>[\d-]*\d)(?:_(?P<title>.*))?")
_FLYWAY = re.compile(r"(?:[VU]\d+(?:[._]\d+)*|R)__.+\.sql")

_comment = re.compile(r"\s*(?:--|$)").match
_dbmate = re.compile(r"--\s*migrate:(up|down)(?:\s+(.*?))?\s*").fullmatch
_goose = re.compile(r"--\s*\+goose\s+(.*?)\s*").fullmatch
_placeholder = re.compile(r"\$\{").search


def golang_migrate(source: Source) -> Iterator[Part]:
    """Read N_title.up.sql and N_title.down.sql."""
    yield from _pairs(source, _PAIR, "N_title.up.sql or N_title.down.sql")


def sqlx(source: Source) -> Iterator[Part]:
    """Read N_title.sql, or N_title.up.sql and its down; a first line asks for no transaction."""
    for part in _pairs(source, _SQLX, "N_title.sql, N_title.up.sql or N_title.down.sql"):
        yield part._replace(transactional=not part.text.startswith("-- no-transaction"))


def _pairs(source: Source, pattern: re.Pattern[str], expected: str) -> Iterator[Part]:
    for name, found in _named(source, pattern, expected):
        kind = "U" if found["way"] == "down" else "V"
        yield Part(target(kind, found["version"], found["title"]), name, source.lines(name))


def _named(
    source: Source, pattern: re.Pattern[str], expected: str
) -> Iterator[tuple[str, re.Match[str]]]:
    for name in source.names():
        if found := pattern.fullmatch(name):
            yield name, found
        else:
            source.refuse(name, 1, f"its name is not {expected}")


def dbmate(source: Source) -> Iterator[Part]:
    """Read files with a part below `-- migrate:up` and one below `-- migrate:down`."""
    for name, found in _named(source, _ONE, "N_title.sql"):
        ways: dict[str, list[Line]] = {}
        loose: set[str] = set()
        above: list[Line] = []
        lines = above
        for line in source.lines(name):
            if mark := _dbmate(line.text):
                way = mark[1]
                if way in ways or (way == "down" and not ways):
                    source.refuse(name, line.number, f"migrate:{way} does not belong here")
                lines = ways[way] = above if way == "up" else []
                loose |= _dbmate_options(source, name, line.number, mark)
            elif lines is above and not ways and not _comment(line.text):
                source.refuse(name, line.number, "SQL above '-- migrate:up'")
            else:
                lines.append(line)
        yield from _both(source, name, found, ways, loose)


def _dbmate_options(source: Source, name: str, line: int, mark: re.Match[str]) -> set[str]:
    """Return the way of a mark, if it shall run without a transaction."""
    options = set((mark[2] or "").split()) - {"transaction:true"}
    for option in options - {"transaction:false"}:
        source.refuse(name, line, f"the option {option} is not known")
    return {mark[1]} if options else set()


def _both(
    source: Source,
    name: str,
    found: re.Match[str],
    ways: dict[str, list[Line]],
    loose: set[str],
) -> Iterator[Part]:
    """Yield the parts of a file that holds both ways."""
    if "up" not in ways:
        source.refuse(name, 1, "nothing says where its way up begins")
        return
    for way, kind in (("up", "V"), ("down", "U")):
        if way in ways:
            named = target(kind, found["version"], found["title"])
            yield Part(named, name, tuple(ways[way]), way not in loose)


def goose(source: Source) -> Iterator[Part]:
    """Read files with a part below `-- +goose Up` and one below `-- +goose Down`."""
    for name in source.names(".go"):
        if re.match(r"\d+_", name) and not name.endswith("_test.go"):
            source.refuse(name, 1, "a migration in Go: write its SQL into a file in its place")
    for name, found in _named(source, _ONE, "N_title.sql"):
        yield from _Goose(source, name).parts(found)


class _Goose:
    """One file of goose's."""

    def __init__(self, source: Source, name: str):
        self._source, self._name = source, name
        self._ways: dict[str, list[Line]] = {}
        self._lines: list[Line] = []  # comments above the first mark belong to the way up
        self._block: tuple[Line, int] | None = None  # the mark that is open, how many lines were
        self._loose = False

    def parts(self, found: re.Match[str]) -> Iterator[Part]:
        for line in self._source.lines(self._name):
            if mark := _goose(line.text):
                self._mark(line, mark[1])
            elif not self._ways and not _comment(line.text):
                self._refuse(line, "SQL above '-- +goose Up'")
            else:
                self._lines.append(line)
        if self._block is not None:
            self._refuse(self._block[0], "no '-- +goose StatementEnd' ends this")
        loose = {"up", "down"} if self._loose else set()
        yield from _both(self._source, self._name, found, self._ways, loose)

    def _mark(self, line: Line, word: str) -> None:
        match word:
            case "Up" if not self._ways:
                self._ways["up"] = self._lines
            case "Down" if [*self._ways] == ["up"]:
                self._lines = self._ways["down"] = []
            case "StatementBegin" if self._ways and self._block is None:
                self._block = line, len(self._lines)
            case "StatementEnd" if self._block is not None:
                self._end(line, self._block[1])
            case "NO TRANSACTION":
                self._loose = True
            case _:
                self._refuse(line, f"'+goose {word}' cannot be taken over here")

    def _end(self, line: Line, first: int) -> None:
        """End a statement of several lines with the semicolon that goose does without."""
        *_, last = [None, *scan("".join(each.text for each in self._lines[first:]))]
        if last and not last.terminated:
            self._lines.append(Line(line.number, ";\n"))
        self._block = None

    def _refuse(self, line: Line, why: str) -> None:
        self._source.refuse(self._name, line.number, why)


def diesel(source: Source) -> Iterator[Part]:
    """Read folders N_title with up.sql, down.sql and metadata.toml."""
    for name in source.names():
        source.refuse(name, 1, "diesel's files are in folders: N_title/up.sql")
    for folder in source.folders():
        found = _FOLDER.fullmatch(folder)
        if not found or not source.has(f"{folder}/up.sql"):
            source.refuse(folder, 1, "no folder N_title with an up.sql")
            continue
        version, title = found["version"].replace("-", ""), found["title"] or ""
        alone = not _diesel_transaction(source, f"{folder}/metadata.toml")
        for way, kind in (("up", "V"), ("down", "U")):
            name = f"{folder}/{way}.sql"
            if source.has(name):
                named = target(kind, version, title)
                yield Part(named, name, source.lines(name), transactional=not alone)


def _diesel_transaction(source: Source, name: str) -> bool:
    if not source.has(name):
        return True
    text = "".join(line.text for line in source.lines(name))
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        source.refuse(name, 1, str(error))
        return True
    wanted = settings.pop("run_in_transaction", True)
    if settings or not isinstance(wanted, bool):
        source.refuse(name, 1, "only run_in_transaction = true or false can be taken over")
    return bool(wanted)


def flyway(source: Source) -> Iterator[Part]:
    """Read V…, U… and R… as they are, but for what Flyway would put into them."""
    for name in source.names(deep=True):
        if not _FLYWAY.fullmatch(name.rpartition("/")[2]):
            source.refuse(name, 1, "no V, U or R file: callbacks and baselines are not taken over")
            continue
        lines = source.lines(name)
        for line in lines:
            if _placeholder(line.text):
                source.refuse(name, line.number, "a placeholder: write the value in its place")
        yield Part(name, name, lines, transactional=not _flyway_alone(source, f"{name}.conf"))


def _flyway_alone(source: Source, name: str) -> bool:
    """Return whether a file's settings ask for no transaction."""
    alone = False
    for line in source.lines(name) if source.has(name) else ():
        setting = re.sub(r"\s", "", line.text).lower()
        if setting in ("executeintransaction=true", "executeintransaction=false"):
            alone = setting.endswith("false")
        elif setting and not setting.startswith("#"):
            source.refuse(name, line.number, "only executeInTransaction can be taken over")
    return alone
