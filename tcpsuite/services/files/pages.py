"""What people see in a browser: listings and errors, as HTML without scripts."""

from __future__ import annotations

import mimetypes
import os
from html import escape
from http import HTTPStatus
from itertools import islice
from time import gmtime, strftime
from typing import TYPE_CHECKING
from unicodedata import category

from tcpsuite.core.paths import quote_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tcpsuite.core.paths import Path
    from tcpsuite.services.files.root import Entry

MAX_ENTRIES = 10_000
"""Names that one page shows: more than anyone reads, and some megabytes of HTML."""

_TYPES = mimetypes.MimeTypes()
_TYPES.add_type("text/markdown", ".md")
_TYPES.add_type("application/toml", ".toml")
_PACKED = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
    "br": "application/x-brotli",
}

_STYLE = """\
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.25rem; font-weight: 600; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; font-size: .8rem; font-weight: 500; opacity: .6; }
th, td { padding: .3rem .75rem .3rem 0; border-bottom: 1px solid #8883; }
td:first-child { overflow-wrap: anywhere; }
th.n, td.n { text-align: right; white-space: nowrap; }
td.n { opacity: .7; }
a { text-decoration: none; }
a:hover { text-decoration: underline; }
p { opacity: .7; }
"""


def content_type(name: bytes) -> str:
    """What a file is, by its name.  A packed file is what it is, not what is packed in it."""
    kind, packed = _TYPES.guess_type(os.fsdecode(name), strict=False)
    if packed is not None:
        return _PACKED.get(packed, "application/octet-stream")
    if kind is None:
        return "application/octet-stream"
    # A page of HTML says itself what it is written in; other text of our time is UTF-8.
    return f"{kind}; charset=utf-8" if kind.startswith("text/") and kind != "text/html" else kind


def listing_page(path: Path, entries: Iterable[Entry | None]) -> bytes:
    """A directory: its directories first, then its files, by name; no more than :data:`MAX_ENTRIES`.

    :param entries: ``None`` for what is not shown.
    """
    shown = list(islice((entry for entry in entries if entry is not None), MAX_ENTRIES + 1))
    more = len(shown) > MAX_ENTRIES
    shown = sorted(
        shown[:MAX_ENTRIES], key=lambda entry: (not entry.directory, entry.name.lower(), entry.name)
    )
    title = "/" + "".join(f"{_text(name)}/" for name in path.names)
    rows = [_row("../", "../", "", "")] if path.names else []
    rows += [_entry_row(entry) for entry in shown]
    note = f"<p>There are more than these {MAX_ENTRIES} names.</p>" if more else ""
    note = note or ("" if shown else "<p>There is nothing here.</p>")
    table = (
        '<table><thead><tr><th>Name<th class="n">Size<th class="n">Modified (UTC)</thead>\n<tbody>\n'
        + "".join(rows)
        + "</tbody></table>"
    )
    return _page(title, f"{table}\n{note}")


def error_page(status: int, text: str) -> bytes:
    """An answer that is no file."""
    return _page(f"{status} {phrase(status)}", f"<p>{escape(text)}</p>")


def phrase(status: int) -> str:
    """The words beside a status."""
    return HTTPStatus(status).phrase


def _page(title: str, body: str) -> bytes:
    """A whole page; ``title`` is text, ``body`` is HTML."""
    title = escape(title)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{_STYLE}</style></head>\n"
        f"<body>\n<h1>{title}</h1>\n{body}\n</body></html>\n"
    ).encode()


def _entry_row(entry: Entry) -> str:
    slash = "/" if entry.directory else ""
    modified = _time(entry.modified)
    size = "" if entry.directory else _size(entry.size)
    return _row(quote_name(entry.name) + slash, _text(entry.name) + slash, size, modified)


def _row(link: str, text: str, size: str, modified: str) -> str:
    return (
        f'<tr><td><a href="{escape(link)}">{escape(text)}</a>'
        f'<td class="n">{escape(size)}<td class="n">{modified}\n'
    )


def _text(name: bytes) -> str:
    """A name for reading.  What is no UTF-8 shows as such, and so does what cannot be seen: a character that
    turns the direction of text round makes ``fdp.exe`` look like ``exe.pdf``.
    """
    text = name.decode(errors="replace")
    return "".join("\ufffd" if category(character) in {"Cc", "Cf"} else character for character in text)


def _time(seconds: int) -> str:
    """A time in minutes; nothing when it lies further away than calendars go."""
    try:
        return strftime("%Y-%m-%d %H:%M", gmtime(seconds))
    except (OSError, OverflowError, ValueError):
        return ""


def _size(size: int) -> str:
    """A size in three digits, ``1.4 MiB``."""
    value, units = float(size), iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    for larger in units:
        if value < 1000:
            break
        value, unit = value / 1024, larger
    return f"{size} B" if unit == "B" else f"{value:.{1 if value < 100 else 0}f} {unit}"
