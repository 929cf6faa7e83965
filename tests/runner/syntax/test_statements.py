"""What the scanner makes of a text, fact by fact."""

import pytest

from runner.syntax.scanner import scan
from runner.syntax.statements import executable, position, problems
from tests.runner.syntax.cut import split

SPLITS = {
    "nothing": ("", []),
    "only blanks and comments": (" \n-- a;\n/* b; */\t", []),
    "only semicolons": (" ;; ;", []),
    "one without semicolon": ("select 1", ["select 1"]),
    "surroundings left out": ("/* a */ select 1 -- b\n ; -- c\n", ["select 1"]),
    "comment inside kept": ("select /* ; */ 1;", ["select /* ; */ 1"]),
    "semicolon in a string": ("select ';'; select 2", ["select ';'", "select 2"]),
    "doubled quote": ("select 'a'';'; b", ["select 'a'';'", "b"]),
    "backslash ends a string": (r"select '\'; b; select '\'", [r"select '\'", "b", r"select '\'"]),
    "ESCAPE backslash": (
        r"select a like 'x' escape '\'; b",
        [r"select a like 'x' escape '\'", "b"],
    ),
    "E string escapes a quote": (r"select E'\';'; b", [r"select E'\';'", "b"]),
    "e string with a backslash at its end": (r"select e'\\'; b", [r"select e'\\'", "b"]),
    "E string with a doubled quote": (r"select E'a'';\''; b", [r"select E'a'';\''", "b"]),
    "E string goes on after a newline": ("select E'a'\n'\\';'; b", ["select E'a'\n'\\';'", "b"]),
    "E string goes on after a comment": (
        "select E'a' -- '\n '\\';'; b",
        ["select E'a' -- '\n '\\';'", "b"],
    ),
    "E string ends without a newline": (r"select E'a' '\'; b", [r"select E'a' '\'", "b"]),
    "E string ends before a block comment": (
        "select E'a' /* \n */ '\\'; b",
        ["select E'a' /* \n */ '\\'", "b"],
    ),
    "string goes on by its own rules": ("select 'a'\n'\\'; b", ["select 'a'\n'\\'", "b"]),
    "a name ending in e is no E string": (r"select name'\'; b", [r"select name'\'", "b"]),
    "a letter from U+0080 before e": (r"select éE'\'; b", [r"select éE'\'", "b"]),
    "E string after a dollar quote": (r"select $$a$$E'\';'; b", [r"select $$a$$E'\';'", "b"]),
    "E string after a point": (r"select a.e'\';'; b", [r"select a.e'\';'", "b"]),
    "U& string does not escape": (r"select U&'\'; b", [r"select U&'\'", "b"]),
    "B, X and N strings": (
        r"select B'\', x'\', N'\'; b",
        [r"select B'\', x'\', N'\'", "b"],
    ),
    "quoted identifier": ('select ";" "a"";b"; b', ['select ";" "a"";b"', "b"]),
    "quote inside a quoted identifier": ('select "\'"; b', ['select "\'"', "b"]),
    "U& identifier": (r'select U&"\;"; b', [r'select U&"\;"', "b"]),
    "dollar quote": ("select $$;'$$; b", ["select $$;'$$", "b"]),
    "dollar tag": ("select $a$; $$ ; $b$ $a$; b", ["select $a$; $$ ; $b$ $a$", "b"]),
    "dollar tag is case-sensitive": ("select $a$;$A$;$a$; b", ["select $a$;$A$;$a$", "b"]),
    "dollar tag with letters from U+0080": (
        "select $é\xa0$;$é\xa0$; b",
        ["select $é\xa0$;$é\xa0$", "b"],
    ),
    "dollar tag with a digit": ("select $a1$;$a1$; b", ["select $a1$;$a1$", "b"]),
    "no dollar tag starts with a digit": ("select $1$; b; $1$", ["select $1$", "b", "$1$"]),
    "closing tag inside a longer word": ("select $a$ b$a$; b", ["select $a$ b$a$", "b"]),
    "a name holds dollars": ("select x$$; b$$", ["select x$$", "b$$"]),
    "a name holds a tag": ("select x$a$; b$a$", ["select x$a$", "b$a$"]),
    "a number does not open a dollar quote": ("select 1$$; b$$", ["select 1$$", "b$$"]),
    "a number with underscores, then dollars": ("select 1_0$$; b$$", ["select 1_0$$", "b$$"]),
    "nested comment": ("/* /* ; */ ; */ select 1; b", ["select 1", "b"]),
    "starred comment": ("/***;***/ select 1 /*/**/;*/; b", ["select 1", "b"]),
    "comment right after an operator": ("select 1 +/* ; */ 2; b", ["select 1 +/* ; */ 2", "b"]),
    "nested comment after an operator": (
        "select 1 */* /* ; */ ; */ 2; b",
        ["select 1 */* /* ; */ ; */ 2", "b"],
    ),
    "line comment right after an operator": ("select 1 +-- ;\n 2; b", ["select 1 +-- ;\n 2", "b"]),
    "line comment of many dashes": ("select 1 ---;\n+ 1; b", ["select 1 ---;\n+ 1", "b"]),
    "one dash is no comment": ("select 1 - -1; b", ["select 1 - -1", "b"]),
    "line comment ends with a lone CR": ("-- a\rselect 1; b", ["select 1", "b"]),
    "line comment in a string": ("select '--'; b", ["select '--'", "b"]),
    "block comment in a string": ("select '/*'; b; c '*/'", ["select '/*'", "b", "c '*/'"]),
    "quote in a comment": ("-- don't\nselect 1; /* can't */ b", ["select 1", "b"]),
    "block comment within a line comment": ("-- /*\nselect 1; b", ["select 1", "b"]),
    "line comment within a block comment": ("/* -- */ select 1; b", ["select 1", "b"]),
    "parentheses hold semicolons": (
        "create rule r as on insert to t do (a; b;); c",
        ["create rule r as on insert to t do (a; b;)", "c"],
    ),
    "nested parentheses": ("a (((b; (c)); d)); e", ["a (((b; (c)); d))", "e"]),
    "parenthesis in a string": ("a ('('); b", ["a ('(')", "b"]),
    "brackets hold nothing": ("a [1; b]", ["a [1", "b]"]),
    "a parenthesis too many": ("a ); b (c; d)", ["a )", "b (c; d)"]),
    "plain text for psql's and drivers' marks": (
        "select a[1:2], :x, :'y', $1, %s, ?, ${z}, b::int, `c`, #d; e",
        ["select a[1:2], :x, :'y', $1, %s, ?, ${z}, b::int, `c`, #d", "e"],
    ),
    "blank-looking letters": ("\xa0;\x85; \u2028 ;\ufeff", ["\xa0", "\x85", "\u2028", "\ufeff"]),
    "PostgreSQL's blanks": (" \t\n\r\f\va\v\f\r\n\t ;b", ["a", "b"]),
    "DO block": ("do $$begin; end$$; b", ["do $$begin; end$$", "b"]),
}


@pytest.mark.parametrize(("text", "statements"), SPLITS.values(), ids=SPLITS.keys())
def test_splits_as_postgresql_reads(text: str, statements: list[str]) -> None:
    assert split(text) == statements


ROUTINES = {
    "function": "create function f() begin atomic select 1; end",
    "procedure": "create procedure p() begin atomic select 1; end",
    "or replace": "create or replace function f() begin atomic select 1; end",
    "capitals and comments": "CREATE/**/FUNCTION f() BEGIN/*;*/ATOMIC SELECT 1;--;\nEND",
    "nested comment before the kind": "create /* /* */ */ function f() begin atomic a; end",
    "empty body": "create function f() begin atomic end",
    "case inside": "create function f() begin atomic select case when a then 1 end; end",
    "case in a later statement": (
        "create function f() begin atomic a; select case a when 1 then 2 end; end"
    ),
    "columns called begin, atomic and end": (
        'create function f() begin atomic select begin atomic, "end" from t; select t.end; end'
    ),
    "a case ending in a column called atomic": (
        "create function f() begin atomic select case when a then atomic end; select 2; end"
    ),
    "arguments called begin": "create function f(begin atomic) begin atomic a; end",
    "a setting before the body": "create function f() set search_path to begin begin atomic a; end",
    "quotes inside": "create function f() begin atomic select 'end;', $$end;$$; end",
    "rule-like parentheses": "create function f() begin atomic select (a; end; b); end",
}


@pytest.mark.parametrize("routine", ROUTINES.values(), ids=ROUTINES.keys())
def test_keeps_a_routine_with_its_body_together(routine: str) -> None:
    assert split(f"{routine}; select 2; {routine}") == [routine, "select 2", routine]


NO_BODIES = {
    "begin is a transaction": ("begin; a; end", ["begin", "a", "end"]),
    "begin atomic alone": ("begin atomic; a; end", ["begin atomic", "a", "end"]),
    "a quoted body": (
        "create function f() as 'begin atomic'; a; end",
        ["create function f() as 'begin atomic'", "a", "end"],
    ),
    "a quoted BEGIN": (
        'create function f() "begin" atomic; a; end',
        ['create function f() "begin" atomic', "a", "end"],
    ),
    "a table with such columns": (
        "create table t (begin atomic); a; end",
        ["create table t (begin atomic)", "a", "end"],
    ),
    "a view with such columns": (
        "create view v as select begin atomic from function; a; end",
        ["create view v as select begin atomic from function", "a", "end"],
    ),
}


@pytest.mark.parametrize(("text", "statements"), NO_BODIES.values(), ids=NO_BODIES.keys())
def test_takes_nothing_else_for_a_body(text: str, statements: list[str]) -> None:
    assert split(text) == statements


COPIES = {
    "pg_dump": ("COPY public.t (a, b) FROM stdin;\n1\tx;\n\\.\n", "1\tx;\n"),
    "no rows": ("copy t from stdin;\n\\.\n", ""),
    "CRLF": ("copy t from stdin;\r\n1\r\n\\.\r\n", "1\r\n"),
    "end of file right after the end of data": ("copy t from stdin;\n1\n\\.", "1\n"),
    "options": ("copy t from stdin with (format csv);\n'\n\\.\n", "'\n"),
    "old binary": ("copy binary t from stdin;\n\\.\n", ""),
    "stdout means stdin": ("copy t from stdout;\n1\n\\.\n", "1\n"),
    "where": ("copy t from stdin where a > 1;\n1\n\\.\n", "1\n"),
    "comment after the semicolon": ("copy t from stdin; -- rows\n1\n\\.\n", "1\n"),
    "comments everywhere": ("copy/**/t--\nfrom/**/stdin/**/;\n1\n\\.\n", "1\n"),
    "escaped backslashes are data": (
        "copy t from stdin;\n\\.x\n\\\\.\nx\\.\n\\.\n",
        "\\.x\n\\\\.\nx\\.\n",
    ),
    "quoted table called from": ('copy "from" from stdin;\n1\n\\.\n', "1\n"),
}


@pytest.mark.parametrize(("text", "data"), COPIES.values(), ids=COPIES.keys())
def test_tells_the_data_of_copy(text: str, data: str) -> None:
    copy, after = scan(text + "\nselect 2;" if text.endswith("\\.") else text + "select 2;")
    assert copy.copy_data is not None
    start, end = copy.copy_data
    assert text[start:end] == data
    assert after.text == "select 2"


NO_DATA = {
    "file": "copy t from 'stdin'; select 2",
    "program": "copy t from program 'x'; select 2",
    "to stdout": "copy t to stdout; select 2",
    "to stdin means stdout": "copy t to stdin; select 2",
    "query": "copy (select 1 from stdin) to 'f'; select 2",
    "quoted stdin": 'copy t from "stdin"; select 2',
    "column called stdin": "copy t (stdin) from 'f'; select 2",
    "another statement": "select 1 from stdin; select 2",
}


@pytest.mark.parametrize("text", NO_DATA.values(), ids=NO_DATA.keys())
def test_takes_nothing_else_for_data(text: str) -> None:
    first, second = scan(text)
    assert first.copy_data is None
    assert second.text == "select 2"


def test_a_statement_knows_its_place_and_its_first_words() -> None:
    text = "-- a\n  Create /* b */ \"Table\" x$1 (a, 'b') ;\nselect 1"
    create, select = scan(text)
    assert text[create.start : create.end] == create.text == "Create /* b */ \"Table\" x$1 (a, 'b')"
    assert (create.keyword, create.terminated) == ("CREATE", True)
    assert create.head == ("CREATE", '"Table"', "X$1", "(", "A")
    assert (select.keyword, select.terminated, select.head) == ("SELECT", False, ("SELECT", "1"))
    assert position(text, create.start) == (2, 3)


def test_the_first_words_are_bounded_and_fold_only_ascii() -> None:
    [long] = scan("select " + ", ".join("x" * 1000))
    assert len(long.head) == 5
    [odd] = scan("\u017ftart transaction")
    assert odd.keyword == ""
    assert odd.head == ("\u017ftart", "TRANSACTION")


@pytest.mark.parametrize("text", ["(select 1)", '"commit"', "'a'", "$$begin$$", "1"])
def test_a_statement_without_a_first_word_has_no_keyword(text: str) -> None:
    assert [statement.keyword for statement in scan(text)] == [""]


POSITIONS = {
    "start": ("abc", 0, (1, 1)),
    "end": ("abc", 3, (1, 4)),
    "LF": ("a\nb", 2, (2, 1)),
    "at the LF": ("a\nb", 1, (1, 2)),
    "CRLF": ("a\r\nbc", 4, (2, 2)),
    "between CR and LF": ("a\r\nb", 2, (1, 2)),
    "lone CR": ("a\rb\rc", 4, (3, 1)),
    "mixed": ("a\r\n\r\n\n\rb", 7, (5, 1)),
    "other separators are characters": ("a\u2028\x85\x0b\x0cb", 5, (1, 6)),
    "wide characters count once": ("é\U0001f600b", 2, (1, 3)),
}


@pytest.mark.parametrize(("text", "offset", "place"), POSITIONS.values(), ids=POSITIONS.keys())
def test_a_position_is_what_an_editor_shows(text: str, offset: int, place: tuple[int, int]) -> None:
    assert position(text, offset) == place


def test_pg_dump_guards_become_blanks_of_the_same_length() -> None:
    text = "--\n\\restrict Ab1\nselect '\n\\restrict x\n';\r\n  \\unrestrict Ab1\r\n"
    sent = executable(text)
    assert sent == "--\n             \nselect '\n\\restrict x\n';\r\n                 \r\n"
    assert len(sent) == len(text)
    assert split(sent) == split(text) == ["select '\n\\restrict x\n'"]


def test_a_text_without_guards_is_left_alone() -> None:
    text = "select 'restrict', '\\restrict'; -- \\restrict x\n"
    assert executable(text) is text


@pytest.mark.parametrize(
    ("begin", "commit"),
    [
        ("BEGIN;", "COMMIT;"),
        ("begin work;", "end work"),
        ("Begin Transaction ;", "Commit/**/Transaction;"),
        ("-- first\nstart transaction;", "END TRANSACTION; -- done"),
        ("\\restrict a1\nbegin;", "commit;\n\\unrestrict a1\n"),
    ],
)
def test_the_transaction_that_a_file_is_wrapped_in_becomes_blanks(begin: str, commit: str) -> None:
    inside = "\ncreate table a ();\nsavepoint s; select 'commit;';\nrollback to s;\n"
    text = begin + inside + commit
    sent = executable(text)
    assert problems(sent) == []
    assert split(sent) == split(inside)
    assert (len(sent), sent.index(inside)) == (len(text), len(begin))


@pytest.mark.parametrize(
    "text",
    [
        "begin; select 1",
        "select 1; commit",
        "select 1; begin; select 2; commit",
        "begin; select 1; commit; select 2",
        "begin; select 1; commit; begin; select 2; commit",
        "begin; select 1; rollback",
        "begin; select 1; commit and chain",
        "begin; begin; select 1; commit",
        "begin; prepare transaction 'a'; commit",
        "begin isolation level serializable; select 1; commit",
        "start transaction read only; select 1; end",
        "begin; create index concurrently i on t (a); commit",
        "commit",
    ],
)
def test_other_transaction_control_stays_to_be_refused(text: str) -> None:
    assert executable(text) is text
    assert problems(text)


def test_file_that_asks_for_no_transaction_keeps_its_own_to_be_refused() -> None:
    text = "begin; select 1; commit"
    assert executable(text, transactional=False) is text
