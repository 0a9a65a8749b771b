"""Tests for tcpsuite.config.lines: where a key of a TOML text stands."""

from __future__ import annotations

import tomllib
from itertools import count
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.config.lines import format_key, format_path, parse_key, quote, scan


def paths(value: Any, path: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], Any]:
    """Every key, table and element of what tomllib made of a text."""
    found = {path: value} if path else {}
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for step, child in children:
        found |= paths(child, (*path, step))
    return found


class ScanTests(SynchronousTestCase):
    """Texts written by hand, one for each shape of TOML."""

    def lines(self, text: str) -> dict[str, int]:
        found = scan(text)
        self.assertEqual(set(found), set(paths(tomllib.loads(text))))
        return {format_path(path): line for path, line in found.items()}

    def test_tables_and_dotted_keys(self) -> None:
        """A key stands where it is written, a table where it is first named."""
        text = 'a = 1\n\n# [no.t]\n[ listener . db ]  # [nor.t]\n  endpoint="tcp:1"\nlimits.connections = 2\n'
        self.assertEqual(
            self.lines(text),
            {
                "a": 1, "listener": 4, "listener.db": 4, "listener.db.endpoint": 5,
                "listener.db.limits": 6, "listener.db.limits.connections": 6,
            },
        )  # fmt: skip

    def test_quoted_keys(self) -> None:
        """A quoted key is one step, whatever it holds."""
        text = '["a.b".\'c [d]\']\n"e \\" = \\u0041" = 1\n"" = 2\n'
        self.assertEqual(
            set(scan(text)), {("a.b",), ("a.b", "c [d]"), ("a.b", "c [d]", 'e " = A'), ("a.b", "c [d]", "")}
        )

    def test_arrays(self) -> None:
        """Each element of an array has the line that it begins on, comments between them or not."""
        text = "a = [ # ]\n 1,\n\n [2,\n  3], # x\n {b = [4,\n5]}\n , 'x,]' ]\nc = []\nd = [[],[],]\n"
        self.assertEqual(
            self.lines(text),
            {
                "a": 1, "a[0]": 2, "a[1]": 4, "a[1][0]": 4, "a[1][1]": 5, "a[2]": 6, "a[2].b": 6,
                "a[2].b[0]": 6, "a[2].b[1]": 7, "a[3]": 8, "c": 9, "d": 10, "d[0]": 10, "d[1]": 10,
            },
        )  # fmt: skip

    def test_arrays_of_tables(self) -> None:
        """A table inside an array of tables belongs to the last of them."""
        text = "[[u.s]]\nn=1\n[[u.s]]\nn=2\n[u.s.h]\nt=3\n[[u.s.k]]\nz=4\n[[u.s]]\n[[u.s.k]]\n"
        self.assertEqual(
            self.lines(text),
            {
                "u": 1, "u.s": 1, "u.s[0]": 1, "u.s[0].n": 2, "u.s[1]": 3, "u.s[1].n": 4, "u.s[1].h": 5,
                "u.s[1].h.t": 6, "u.s[1].k": 7, "u.s[1].k[0]": 7, "u.s[1].k[0].z": 8, "u.s[2]": 9,
                "u.s[2].k": 10, "u.s[2].k[0]": 10,
            },
        )  # fmt: skip

    def test_strings_of_many_lines(self) -> None:
        """What stands in a string is no key, and its lines count."""
        texts = [
            'a = """\nx = 1\n\\""" [t]\n"""\nb = 2\n',
            'a = """\nx = 1\n[t]\n"""""\nb = 2\n',
            "a = '''\nx = \\\n# \"\"\" [t]\n''''\nb = 2\n",
            "a = ''\n\n\n\nb = 2\n",
            'a = ""\r\n\r\n\r\n\r\nb = "\\\\"\r\n',
        ]
        for text in texts:
            self.assertEqual(self.lines(text), {"a": 1, "b": 5})

    def test_scalars(self) -> None:
        """Numbers, dates with a space, and a last line that does not end."""
        text = "a = 1979-05-27 07:32:00 # x\nb = [1e3,-inf,true]\nc = { d.e = 1 , f = '}' }\ng = 0x_"
        self.assertEqual(
            self.lines(text.replace("0x_", "0xff")),
            {
                "a": 1, "b": 2, "b[0]": 2, "b[1]": 2, "b[2]": 2, "c": 3, "c.d": 3, "c.d.e": 3, "c.f": 3,
                "g": 4,
            },
        )  # fmt: skip

    def test_nothing(self) -> None:
        """An empty text has no keys."""
        self.assertEqual(scan(""), {})
        self.assertEqual(scan("# only words\n\n"), {})


class KeyTests(SynchronousTestCase):
    """Paths as text."""

    def test_parse(self) -> None:
        """Dots, quotes as in TOML, indices in brackets."""
        self.assertEqual(parse_key("listener.db.endpoint"), ("listener", "db", "endpoint"))
        self.assertEqual(
            parse_key("upstream.pg.servers[1].address"), ("upstream", "pg", "servers", 1, "address")
        )
        self.assertEqual(parse_key("listener.\"my.db\".'x y'"), ("listener", "my.db", "x y"))
        self.assertEqual(parse_key("a[0][12]"), ("a", 0, 12))

    def test_no_path(self) -> None:
        """What is no path is refused."""
        for text in ("", ".", "a.", ".a", "a..b", "[1]", "a[x]", "a[1", "a b", "a[1]b", '"a', "é"):
            with self.assertRaises(ValueError, msg=text):
                parse_key(text)

    def test_format(self) -> None:
        """A path is written as it would be typed."""
        self.assertEqual(
            format_path(("upstream", "p.g", "servers", 1, "name")), 'upstream."p.g".servers[1].name'
        )

    @given(st.lists(st.one_of(st.text(max_size=8), st.integers(0, 99)), max_size=5), st.text(max_size=8))
    def test_both_ways(self, rest: list[str | int], first: str) -> None:
        """What format_path writes, parse_key reads."""
        path = (_storable(first), *(_storable(step) if isinstance(step, str) else step for step in rest))
        self.assertEqual(parse_key(format_path(path)), path)

    @given(st.text())
    def test_quote(self, text: str) -> None:
        """A quoted text is a TOML string of the same value, and a key is the same key."""
        text = _storable(text)
        self.assertEqual(tomllib.loads(f"a = {quote(text)}")["a"], text)
        self.assertEqual(list(tomllib.loads(f"{format_key(text)} = 1")), [text])


def _storable(text: str) -> str:
    """Without surrogates, which no TOML text can hold."""
    return text.encode(errors="ignore").decode()


KEYS = st.sampled_from(["a", "b", "c-1", '"a"', "'b.c'", '"x # [y]"', '"\\"="'])
BLANKS = st.sampled_from(["", " ", "  ", "\t"])
GAPS = st.sampled_from(["", " ", "\n", " # a = [1]\n", "\r\n\n"])
STATEMENTS = st.sampled_from(["[{}]", "[[{}]]", "[ {} ] # x", "{} =", "\t{}=", "# {}", ""])
STRINGS = st.sampled_from(
    [
        '"{}"', "'{}'", '"\\"{} # ["', "'\\{} ]'", '"""{}"""',
        '"""{}\nb = 1\n"" \\""" ]"""', "'''{}\n[a]\n'' }}'''",
    ]
)  # fmt: skip


@st.composite
def values(draw: st.DrawFn, numbers: Any, depth: int = 2) -> str:
    """A TOML value whose first word holds a number that occurs nowhere else."""
    kind = draw(st.sampled_from(["number", "string"] + ["array", "inline"] * (depth > 0)))
    if kind == "number":
        return f"{next(numbers)}"
    if kind == "string":
        return draw(STRINGS).format(next(numbers))
    if kind == "inline":
        pairs = {draw(KEYS): draw(values(numbers, depth - 1)) for _ in range(draw(st.integers(0, 2)))}
        return "{" + " , ".join(f" {key} ={draw(BLANKS)}{value}" for key, value in pairs.items()) + " }"
    items = [
        draw(GAPS) + draw(values(numbers, depth - 1)) + draw(GAPS) for _ in range(draw(st.integers(0, 3)))
    ]
    comma = draw(st.sampled_from(["", ","])) if items else ""
    return f"[{','.join(items)}{comma}{draw(GAPS)}]"


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A valid TOML text: of random statements, those that fit what stands before them."""
    numbers, text = count(1_000_000), ""
    for _ in range(draw(st.integers(0, 12))):
        key = ".".join(draw(st.lists(KEYS, min_size=1, max_size=3)))
        statement = draw(STATEMENTS).format(key) + draw(BLANKS)
        if statement.rstrip().endswith("="):
            statement += draw(values(numbers))
        try:
            tomllib.loads(text + statement + "\n")
        except tomllib.TOMLDecodeError:
            continue
        text += statement + draw(st.sampled_from(["\n", "\r\n", "\n\n", " # end\n"]))
    return text


class AnyTextTests(SynchronousTestCase):
    """Texts that nobody would write."""

    @settings(max_examples=300, deadline=None)
    @given(documents())
    def test_every_key_and_no_other(self, text: str) -> None:
        """The scanner finds what tomllib finds, and a value's number stands on the line that is named."""
        found, rows = scan(text), text.split("\n")
        expected = paths(tomllib.loads(text))
        self.assertEqual(set(found), set(expected))
        for path, value in expected.items():
            if isinstance(value, int | str):
                number = "".join(char for char in str(value) if char.isdigit())[:7]
                self.assertIn(number, rows[found[path] - 1])
