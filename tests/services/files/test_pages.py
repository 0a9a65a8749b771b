"""What people see in a browser."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.paths import Path
from tcpsuite.services.files import pages
from tcpsuite.services.files.pages import content_type, error_page, listing_page
from tcpsuite.services.files.root import Entry


def file(name: bytes, size: int = 0) -> Entry:
    return Entry(name, directory=False, size=size, modified=0)


class TypeTests(SynchronousTestCase):
    def test_by_name(self) -> None:
        """A name's end says what a file is; text is UTF-8, unless it says itself what it is."""
        for name, kind in {
            b"a.txt": "text/plain; charset=utf-8",
            b"a.md": "text/markdown; charset=utf-8",
            b"a.html": "text/html",
            b"a.PNG": "image/png",
            b"a.json": "application/json",
            b"a": "application/octet-stream",
            b"a.nothing": "application/octet-stream",
            b"\xff.css": "text/css; charset=utf-8",
        }.items():
            self.assertEqual(content_type(name), kind, name)

    def test_packed(self) -> None:
        """A packed file is what it is: a client that unpacked it on the way would store something else."""
        for name, kind in {
            b"a.tar.gz": "application/gzip",
            b"a.txt.xz": "application/x-xz",
            b"a.tgz": "application/gzip",
            b"a.svgz": "application/gzip",
            b"a.js.br": "application/x-brotli",
        }.items():
            self.assertEqual(content_type(name), kind, name)


class ListingTests(SynchronousTestCase):
    def rows(self, *entries: Entry) -> list[str]:
        page = listing_page(Path(), iter(entries)).decode()
        return [line for line in page.splitlines() if line.startswith("<tr><td>")]

    def test_order(self) -> None:
        """Directories come first, then names without regard to case."""
        rows = self.rows(file(b"b"), file(b"C"), file(b"a"), Entry(b"z", directory=True, size=0, modified=0))
        self.assertEqual([row.split('"')[1] for row in rows], ["z/", "a", "b", "C"])

    def test_what_cannot_be_seen(self) -> None:
        """Characters that hide, or turn text round, are shown as such; the link keeps them."""
        row = self.rows(file("a\u202efdp.exe\x07\u200b\n".encode()))[0]
        self.assertIn(">a\ufffdfdp.exe\ufffd\ufffd\ufffd<", row)
        self.assertIn('"a%E2%80%AEfdp.exe%07%E2%80%8B%0A"', row)

    def test_times(self) -> None:
        """A time is for reading, as far as there is a calendar for it."""
        for seconds, text in {-1: "1969-12-31 23:59", 0: "1970-01-01 00:00", 2**62: ""}.items():
            row = self.rows(Entry(b"x", directory=False, size=0, modified=seconds))[0]
            self.assertTrue(row.endswith(f'<td class="n">{text}'), row)

    def test_hidden(self) -> None:
        """What no client may ask for is not shown, and does not count."""
        page = listing_page(Path(), iter([None, None])).decode()
        self.assertIn("There is nothing here", page)

    def test_sizes(self) -> None:
        """Sizes are for reading."""
        for size, text in {
            0: "0 B", 999: "999 B", 1000: "1.0 KiB", 1536: "1.5 KiB", 200_000: "195 KiB", 10**6: "977 KiB",
            10**9: "954 MiB", 5 * 2**40: "5.0 TiB", 10**16: "9095 TiB",
        }.items():  # fmt: skip
            self.assertIn(f">{text}<", self.rows(file(b"x", size))[0])

    def test_hostile_names(self) -> None:
        """No name becomes markup, a script, or a link elsewhere."""
        for name in (b"<script>", b"javascript:alert(1)", b'"onclick="x', b"//evil", b"&lt;", b"\xff<b>"):
            row = self.rows(file(name))[0]
            link, text = row.split('"')[1], row.partition(">")[2]
            self.assertNotIn(":", link)
            self.assertFalse(link.startswith("/"), link)
            self.assertEqual(row.count('"'), 6, row)
            self.assertNotIn("<script", text)
            self.assertNotIn("<b>", text)

    def test_title(self) -> None:
        """The title is the path, escaped."""
        page = listing_page(Path((b"<a>", b"b")), [])
        self.assertIn(b"<title>/&lt;a&gt;/b/</title>", page)

    def test_empty(self) -> None:
        """An empty directory says that it is."""
        self.assertIn(b"There is nothing here.", listing_page(Path(), []))

    def test_many(self) -> None:
        """A page shows so many names, and says that there are more."""
        self.patch(pages, "MAX_ENTRIES", 2)
        self.assertNotIn(b"more than", listing_page(Path(), [file(b"a"), file(b"b")]))
        page = listing_page(Path(), [file(b"a"), file(b"b"), file(b"c")])
        self.assertIn(b"more than these 2 names", page)
        self.assertNotIn(b'href="c"', page)


class ErrorTests(SynchronousTestCase):
    def test_escaped(self) -> None:
        """What it says is text."""
        page = error_page(404, "<b>")
        self.assertIn(b"404 Not Found", page)
        self.assertIn(b"&lt;b&gt;", page)
