"""The scanner against PostgreSQL's own lexer and parser, which pglast carries."""

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pglast import parser
from pglast import split as parse_and_split

from runner.syntax.lexer import Lexer, Problem
from runner.syntax.nontransactional import non_transactional
from runner.syntax.scanner import Scanner, Statement, scan
from runner.syntax.statements import executable, position, problems
from tests.runner.syntax.cut import split

COMMENTS = ("SQL_COMMENT", "C_COMMENT")
TRIVIA = [
    *(" ", "\n", "\t", "\r\n", "\r", "\f", "\v", "  \n "),
    *("/**/", "/***/", "/* ; ' */", "/* /* ; */ $$ */", "/*/**/*/", "/*\n--*/", "/* \\ */"),
    *("-- ;\n", "-- ' /*\n", "--\r", "-- $$\r\n"),
]
LITERALS = [
    *("'a'", "''", "'a'';'", r"'\'", r"';\'", "'a'\n'\\'", "'--'", "'/*'", "'(;'", "'\u2028;\x85'"),
    *(r"E'\''", r"e'\\'", r"E'a'';\''", "E'a'\n'\\';'", "E'a' -- '\n '\\';'"),
    *("$$;$$", "$$'$$", "$a$ $$ ; $b$ $a$", "$a$;$A$;$a$", "$é1$;$é1$", "$_$\n;--$_$"),
    *(r"U&'\0041;'", "B'01'", "x'1F'", "N';'"),
]
NAMES = [
    *("a", "e", "E1", "x$$", "a$1", "_", "é", "\xa0", "\u2028x", "name", "n", "b", "x", "u"),
    *('";"', '"a"";b"', '"\'"', 'U&";"', '"begin"', '"end"', "begin", "atomic", "stdin"),
]
OTHERS = [
    *("1", "1.5e3", ".5", "1e-5", "$1", "- 1", "a - -1", "1 * - 1", "1::int", "(array[1,2])[1:2]"),
    *("a+-- ;\n1", "a */* ; */ 1", "a @/* /* ; */ */ 1", "a <@ b", "a ? 'x'", "a #- b", "((1))"),
    *("case when true then 1 else 2 end", "case a when 1 then e'\\'' end", "(select 1)", "x.e"),
    *("f(a, ('b'), $$c$$)", "a || E'\\';'"),
]
trivia = st.lists(st.sampled_from(TRIVIA), min_size=1, max_size=3).map("".join)
name = st.sampled_from(NAMES)
value = st.sampled_from(LITERALS + NAMES + OTHERS)
row = ("(", value, ",", value, ")")
actions = ("(", "select", value, ";", "delete", "from", name, ";", ")")
function = ("function", name, "(", name, "int", ")", "returns", "int")
TEMPLATES = [
    ["select", value],
    ["select", value, ",", value],
    ["select", value, "as", name],
    ["insert", "into", name, "values", *row, ",", *row],
    ["create", "rule", name, "as", "on", "insert", "to", name, "do", *actions],
    ["create", "table", name, "(", name, "int", ",", name, "text", "default", value, ")"],
    ["create", *function, "begin", "atomic", "select", value, ";", "select", *row, ";", "end"],
    ["create", "or", "replace", *function, "set", name, "to", name, "begin", "atomic", "end"],
    ["create", "procedure", name, "(", ")", "begin", "atomic", "select", *row, ";", "end"],
    ["create", *function, "return", value],
    ["create", *function, "as", st.sampled_from(["$$ begin; $$", "'begin atomic;'", r"E'\';'"])],
    ["create", "view", name, "as", "select", name, "as", "atomic", "from", name],
    ["do", st.sampled_from(["$$begin; end$$", "$é$ $$;$$ $é$", "'begin; end'"])],
    ["copy", name, "from", "stdin"],
    ["copy", "(", "select", value, ")", "to", "stdout"],
    ["comment", "on", "table", name, "is", st.sampled_from(["';'", "$$;$$"])],
    ["begin"],
    ["end"],
]


@st.composite
def statements(draw: st.DrawFn) -> str:
    """Draw a statement with trivia between all its tokens."""
    template = draw(st.sampled_from(TEMPLATES))
    parts = [part if isinstance(part, str) else draw(part) for part in template]
    return "".join(f"{draw(trivia)}{part}" for part in parts)


separators = st.sampled_from([";", " ;", ";;", ";\n;", "/* ; */;-- ;\n"])


@st.composite
def files(draw: st.DrawFn) -> str:
    """Draw some statements with semicolons between them."""
    count = draw(st.integers(1, 5))
    text = "".join(draw(statements()) + draw(separators) for _ in range(count))
    return text + draw(st.sampled_from(["", "\n", "-- ;", "/* ; */", " select 1", "\r"]))


def significant(text: str) -> list[parser.Token]:
    return [token for token in parser.scan(text) if token.name not in COMMENTS]


def oracle(text: str) -> list[str]:
    """Split with the server's parser, and cut what surrounds a statement with its lexer."""
    found = []
    for part in parse_and_split(text, only_slices=True):
        end = part.stop
        # pglast strips what Python takes for blanks, letters to PostgreSQL among them.
        while text[end : end + 1].isspace():
            end += 1
        tokens = significant(text[part.start : end])
        found.append(text[part.start + tokens[0].start : part.start + tokens[-1].end + 1])
    return found


class WithoutData(Scanner):
    """A scanner that takes COPY … FROM stdin for any other statement, as the parser does."""

    __slots__ = ()

    def _find_copy_data(self, statement: Statement) -> None:
        pass


@settings(max_examples=1000, deadline=None)
@given(files())
def test_splits_as_the_servers_parser(text: str) -> None:
    assert [statement.text for statement in WithoutData(text).statements()] == oracle(text)


fragments = st.sampled_from(
    TRIVIA
    + LITERALS
    + NAMES
    + list("'\"$();*/-+|eE\\\n\rx1,:.é@`")
    + ["$$", "$a$", "E'", "--", "/*", "*/", "begin", "atomic", "end", "create", "function", "''"]
)
soups = st.lists(fragments, max_size=30).map("".join)
SIGNS = ("ASCII_40", "ASCII_41", "ASCII_59")
LITERAL_TOKENS = ("IDENT", "UIDENT", "SCONST", "USCONST", "BCONST", "XCONST")


def sticks_to_a_number(text: str, tokens: list[parser.Token]) -> bool:
    """Whether a word or dollar quote follows a number at once: no grammar takes it anywhere."""
    ends = {token.end + 1 for token in tokens if token.name in ("ICONST", "FCONST", "PARAM")}
    return any(
        token.start in ends and (text[token.start].isalnum() or text[token.start] in "_$")
        for token in tokens
    )


@settings(max_examples=3000, deadline=None)
@given(soups)
@example("a -- b\r'c'")
@example("e'a'\n--'\n'b'")
@example("/*/*/**/*/'*/*/;")
@example("a +/*;*/'")
@example("$$a$$e'\\';'")
def test_reads_tokens_as_the_servers_lexer(text: str) -> None:
    """Signs, words and literals start where the server sees them, words also end there."""
    try:
        expected = significant(text)
    except parser.ParseError:
        assume(False)
    assume(not sticks_to_a_number(text, expected))
    assume("ASCII_92" not in [token.name for token in expected])  # a backslash is psql's
    ours = dict(Lexer(text).spans(0, len(text)))
    signs = [start for start, end in ours.items() if text[start:end] in ("(", ")", ";")]
    assert signs == [token.start for token in expected if token.name in SIGNS]
    bits = {token.end + 1 for token in expected if token.name in ("BCONST", "XCONST")}
    for token in expected:
        # B'0''1' is two literals to the server and one to us, and ends at the same place.
        if token.start in bits and token.name == "SCONST":
            continue
        if token.name in LITERAL_TOKENS or token.kind != "NO_KEYWORD":
            assert token.start in ours
        if token.kind != "NO_KEYWORD":
            assert ours[token.start] == token.end + 1


@settings(max_examples=1500, deadline=None)
@given(soups | st.text())
def test_the_fast_path_and_the_tokens_agree(text: str) -> None:
    """A statement starts and ends with one of its tokens, and nothing but trivia is left out."""
    scanner = Scanner(text)
    statements = list(scanner.statements())
    covered = set()
    for statement in statements:
        spans = list(Lexer(text).spans(statement.start, statement.end))
        assert (spans[0][0], spans[-1][1]) == (statement.start, statement.end)
        covered.update(range(statement.start, statement.end))
        if statement.copy_data:
            covered.update(range(*statement.copy_data))
    if scanner.problems or any(statement.copy_data for statement in statements):
        return
    rest = "".join(";" if i in covered else char for i, char in enumerate(text))
    assert not [char for char in Lexer(rest).tokens(0, len(rest)) if char != ";"]


@settings(max_examples=1000, deadline=None)
@given(soups | st.text())
def test_no_text_is_too_odd(text: str) -> None:
    """Whatever the text, all calls answer, and positions and lengths stay within it."""
    found = problems(text)
    assert all(0 <= problem.offset <= len(text) for problem in found)
    assert len(executable(text)) == len(text)
    for statement in scan(text):
        non_transactional(statement)
        line, column = position(text, statement.start)
        assert line >= 1
        assert column >= 1
    for statement in split(text):
        non_transactional(statement)


@settings(max_examples=500, deadline=None)
@given(files())
def test_what_is_split_stays_split(text: str) -> None:
    """Each statement, read alone, is one statement: what is sent is what was cut."""
    parts = [statement.text for statement in WithoutData(text).statements()]
    for part in parts:
        assert [again.text for again in WithoutData(part).statements()] == [part]


inserts = st.tuples(st.sampled_from(["insert into t ", "INSERT\tinto t ", "insert "]), value).map(
    "".join
)
data = st.lists(inserts | statements(), min_size=1, max_size=6).map(";\n".join)


@settings(max_examples=1000, deadline=None)
@given(data | files() | soups)
def test_a_stretch_holds_just_the_inserts_that_follow_each_other(text: str) -> None:
    one_by_one, together = Scanner(text), Scanner(text)
    left = list(one_by_one.statements())
    for stretch in together.stretches():
        count = sum(statement.start < stretch.end for statement in left)
        held, left = left[:count], left[count:]
        assert (held[0].start, held[-1].end) == (stretch.start, stretch.end)
        assert {statement.keyword for statement in held} == {stretch.keyword}
        assert count == 1 or stretch.keyword == "INSERT"
        assert held[-1].terminated == stretch.terminated
    assert not left
    assert [said(p) for p in one_by_one.problems] == [said(p) for p in together.problems]


def said(problem: Problem) -> tuple[int, str, str]:
    """Return what a problem says, to be compared."""
    return problem.offset, problem.message, problem.fix
