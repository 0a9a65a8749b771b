"""What the C library does with memory that is no longer used.  Where it is not GNU's nothing is done here."""

from __future__ import annotations

from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # as malloc.h has them
BLOCK = 4 * 1024**2
"""Bytes of a block for which the system is not asked each time."""
SPARE = 16 * 1024**2
"""Bytes that stay with the process between two uses."""


def keep_one() -> None:
    """Have threads that begin to allocate from now on use one heap together.

    By itself the library makes one for each, keeps there the largest block that the thread ever had, and does
    not give it back to the system for :func:`trim` either.
    """
    if (mallopt := _find("mallopt")) is not None:
        mallopt(_ARENA_MAX, 1)


def keep_blocks() -> None:
    """Have memory for blocks of up to :data:`BLOCK` stay with the process, up to :data:`SPARE` of it.

    By itself the library takes much of that from the system, and gives it back, for each block: messages of
    200 KB and more cost twice the processor time then.
    """
    if (mallopt := _find("mallopt")) is not None:
        mallopt(_MMAP_THRESHOLD, BLOCK)
        mallopt(_TRIM_THRESHOLD, SPARE)


def trim() -> None:
    """Give back what is free."""
    if (malloc_trim := _find("malloc_trim")) is not None:
        malloc_trim(0)


def _find(name: str) -> Any:
    """A function of the C library, if it has that."""
    import ctypes  # a megabyte, which most never want

    return getattr(ctypes.CDLL(None), name, None)
