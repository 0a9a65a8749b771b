"""Paths as clients write them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.paths import MAX_NAME, MAX_PATH, Path, parse_path, quote_name, quote_path
from tcpsuite.errors import ProtocolError

NAMES = st.binary(min_size=1, max_size=20).filter(
    lambda name: name not in {b".", b".."} and not {0, 0x2F} & set(name)
)


class ParseTests(SynchronousTestCase):
    def test_names(self) -> None:
        """A path is its names, whether it begins with a / or not, and knows whether it ends with one."""
        self.assertEqual(parse_path(b"/a/b"), Path((b"a", b"b"), slash=False))
        self.assertEqual(parse_path(b"a/b"), Path((b"a", b"b"), slash=False))
        self.assertEqual(parse_path(b"/a/b/"), Path((b"a", b"b"), slash=True))

    def test_root(self) -> None:
        """The empty path and / are the root."""
        self.assertEqual(parse_path(b""), Path())
        self.assertEqual(parse_path(b"/"), Path())
        self.assertEqual(str(Path()), "/")

    def test_decoded(self) -> None:
        """Any byte can be written with a %, and bytes of no encoding are names like others."""
        self.assertEqual(parse_path(b"/na%C3%AFve%20%25").names, ("naïve %".encode(),))
        self.assertEqual(parse_path("/naïve".encode()).names, ("naïve".encode(),))
        self.assertEqual(parse_path(b"/%ff%FE").names, (b"\xff\xfe",))
        self.assertEqual(parse_path(b"/a+b").names, (b"a+b",))

    def test_refused(self) -> None:
        """Nothing that could lead elsewhere is a path."""
        for text in (
            b"//a", b"/a//b", b"/a//", b"//", b"/.", b"/..", b"/a/../b", b"/a/./b", b"../a", b"/a/..",
            b"/%2e%2e/a", b"/%2E%2e", b"/.%2e", b"/a%2Fb", b"/..%2f..", b"/a%00", b"/a\0b", b"/%", b"/%2",
            b"/%zz", b"/a%",
            b"/" + b"x" * (MAX_NAME + 1), b"/x" * (MAX_PATH // 2 + 1), b"/" + b"%78" * (MAX_NAME + 1),
            b"x" * 3 * MAX_PATH + b"x",
        ):  # fmt: skip
            error = self.assertRaises(ProtocolError, parse_path, text)
            self.assertEqual(error.code, "bad-path", text)

    def test_longest(self) -> None:
        """A name and a path may be just as long as the system allows."""
        self.assertEqual(parse_path(b"/" + b"x" * MAX_NAME).names, (b"x" * MAX_NAME,))
        self.assertEqual(len(parse_path(b"/x" * (MAX_PATH // 2)).names), MAX_PATH // 2)

    @given(st.lists(NAMES, min_size=1, max_size=6).map(tuple), st.booleans())
    def test_there_and_back(self, names: tuple[bytes, ...], slash: bool) -> None:
        """What is written is read as what it was, and is plain ASCII without spaces."""
        path = Path(names, slash)
        text = str(path)
        assert text.isascii()
        assert text.isprintable()
        assert " " not in text
        assert parse_path(text.encode()) == path
        assert parse_path(quote_path(path).encode()) == path

    @given(st.binary(max_size=40))
    def test_any_bytes(self, text: bytes) -> None:
        """Whatever comes is refused, or has only names that stay where they are."""
        try:
            path = parse_path(text)
        except ProtocolError:
            return
        for name in path.names:
            assert name not in {b"", b".", b".."}
            assert not {0, 0x2F} & set(name)

    def test_quote_name(self) -> None:
        """A quoted name cannot be taken for a scheme, a query, a parent or markup."""
        self.assertEqual(quote_name(b"a:b?c#d&e<f>'\"/~"), "a%3Ab%3Fc%23d%26e%3Cf%3E%27%22%2F~")
