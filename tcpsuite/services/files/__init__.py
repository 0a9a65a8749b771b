"""The file service: a directory over HTTP or over lines, from beneath a descriptor that no path leaves.

``root`` opens names, ``sending`` and ``upload`` move bytes, ``sums`` digests them, ``http`` and ``lines`` speak,
and ``service`` says what the configuration may hold.
"""

from __future__ import annotations

from tcpsuite.services.files.service import FilesOptions, build

__all__ = ["FilesOptions", "build"]
