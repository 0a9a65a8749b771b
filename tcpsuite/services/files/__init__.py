"""The file service: a directory over HTTP or over lines, from beneath a descriptor that no path leaves.

``root`` opens names, ``sums`` digests what they lead to, ``upload`` puts new ones, ``http`` and ``lines``
speak of them, and ``service`` says what the configuration may hold.
"""

from __future__ import annotations

from tcpsuite.services.files.service import FilesOptions, build, example

__all__ = ["FilesOptions", "build", "example"]
