#!/usr/bin/env python3
"""Where pooled buffers, adaptive buffers and pooled objects pay, and where plain allocation wins.

    python benchmarks/buffers.py
    python benchmarks/buffers.py accumulate frames

Each row is one use, in a process of its own; each column is one way to do it, in microseconds of processor
time for one time, the fastest in bold.  Every round measures each way once, one after the other, so that a
drift of the machine meets all alike; the figure is the median of the rounds.  What is printed is Markdown.
Parts: receive, hold, accumulate, frames, straight, objects.  Options: --rounds N (9), --seconds S a measure
(0.02).
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import socket
import sqlite3
import statistics
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from tcpsuite.core.buffers import AdaptiveBuffer, BufferPool
from tcpsuite.core.objects import ObjectPool

KIB, MIB = 1024, 1024 * 1024
QUADRATIC = 512 * MIB
"""Bytes that a way may copy to and fro for one message before it is left out as hopeless."""

Ways = dict[str, Callable[[], object] | None]
Rows = Iterator[tuple[str, Callable[[], Ways]]]


@contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets that hold what is sent until it is read."""
    sender, receiver = socket.socketpair()
    with sender, receiver:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MIB)
        yield sender, receiver


def receive() -> Rows:
    """One send and one read; a read is told how much it may bring, and brings what has come."""
    for asked, size in ((KIB, 100), (64 * KIB, 100), (64 * KIB, 64 * KIB), (256 * KIB, KIB), (MIB, KIB)):
        with connected() as (sender, receiver):
            yield (
                f"{text(size)} came, {text(asked)} asked for",
                partial(receivers, sender, receiver, asked, size),
            )


def receivers(sender: socket.socket, receiver: socket.socket, asked: int, size: int) -> Ways:
    message, pool, mine = bytes(size), BufferPool(asked), memoryview(bytearray(asked))

    def plain() -> None:
        sender.send(message)
        receiver.recv(asked)

    def fresh() -> None:
        sender.send(message)
        receiver.recv_into(bytearray(asked))

    def whole() -> None:
        sender.send(message)
        with pool.acquire() as lease:
            receiver.recv_into(lease.view)

    def used() -> None:
        sender.send(message)
        with pool.acquire() as lease:
            lease.used = receiver.recv_into(lease.view)

    def one() -> None:
        sender.send(message)
        receiver.recv_into(mine)

    return {
        "`recv`": plain,
        "`recv_into`, new `bytearray`": fresh,
        "`BufferPool`": whole,
        "`BufferPool`, `used` told": used,
        "`recv_into`, always the same": one,
    }


def hold() -> Rows:
    """Eight blocks of a file in memory at once, then let go."""
    for size in (16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB):
        with open(os.memfd_create("blocks"), "r+b", buffering=0) as file:
            file.write(bytes(size))
            yield f"8 blocks of {text(size)}", partial(holders, file.fileno(), size)


def holders(file: int, size: int) -> Ways:
    pool = BufferPool(size, count=8)

    def plain() -> None:
        [os.pread(file, size, 0) for _ in range(8)]

    def fresh() -> None:
        memories = [bytearray(size) for _ in range(8)]
        for memory in memories:
            os.preadv(file, [memory], 0)

    def whole() -> None:
        leases = [pool.acquire() for _ in range(8)]
        for lease in leases:
            os.preadv(file, [lease.view], 0)
        for lease in leases:
            lease.release()

    return {"`pread`": plain, "`preadv`, new `bytearray`": fresh, "`preadv`, `BufferPool`": whole}


def accumulate() -> Rows:
    """A message that arrives in pieces, each a new ``bytes``, then is wanted as one."""
    small = ((KIB, 100), (64 * KIB, KIB))
    large = ((size, piece) for size in (MIB, 16 * MIB) for piece in (KIB, 64 * KIB))
    for size, piece in (*small, *large):
        yield f"{text(size)} in pieces of {text(piece)}", partial(accumulators, size, piece)


def accumulators(size: int, piece: int) -> Ways:
    source, grown, adaptive = io.BytesIO(bytes(size)), bytearray(), AdaptiveBuffer()

    def concatenate() -> bytes:
        data = b""
        source.seek(0)
        while arrived := source.read(piece):
            data += arrived
        return data

    def extend() -> bytes:
        nonlocal grown
        source.seek(0)
        while arrived := source.read(piece):
            grown += arrived
        data = bytes(grown)
        grown.clear()
        return data

    def join() -> bytes:
        parts = []
        source.seek(0)
        while arrived := source.read(piece):
            parts.append(arrived)
        return b"".join(parts)

    def adapt() -> bytes:
        source.seek(0)
        while arrived := source.read(piece):
            adaptive.append(arrived)
        return adaptive.take()

    hopeless = size * size // piece // 2 > QUADRATIC
    return {
        "`bytes +=`": None if hopeless else concatenate,
        "`bytearray +=`": extend,
        "list, `join`": join,
        "`AdaptiveBuffer`": adapt,
    }


def frames() -> Rows:
    """Eight reads of 64 KiB, full of frames: a length of 4 bytes, and so many bytes."""
    for size in (100, KIB, 16 * KIB):
        yield f"frames of {text(size)}", partial(unframers, size)


def unframers(size: int) -> Ways:
    length = struct.Struct(">I").unpack_from
    stream = (struct.pack(">I", size) + bytes(size)) * (64 * KIB * 8 // size)
    reads = [stream[at : at + 64 * KIB] for at in range(0, 64 * KIB * 8, 64 * KIB)]
    # The last frame of the eight reads may be cut: each way throws away what is left of it.
    rest, grown, adaptive = b"", bytearray(), AdaptiveBuffer(capacity=128 * KIB)

    def slices() -> None:
        nonlocal rest
        for read in reads:
            rest += read
            while len(rest) >= 4 and len(rest) >= 4 + (end := length(rest)[0]):
                rest[4 : 4 + end]
                rest = rest[4 + end :]
        rest = b""

    def offset() -> None:
        nonlocal rest
        for read in reads:
            rest += read
            at, held = 0, len(rest)
            while held - at >= 4 and held - at >= 4 + (end := length(rest, at)[0]):
                rest[at + 4 : at + 4 + end]
                at += 4 + end
            rest = rest[at:]
        rest = b""

    def delete() -> None:
        nonlocal grown
        for read in reads:
            grown += read
            while len(grown) >= 4 and len(grown) >= 4 + (end := length(grown)[0]):
                bytes(grown[4 : 4 + end])
                del grown[: 4 + end]
        grown.clear()

    def take() -> None:
        for read in reads:
            adaptive.append(read)
            while len(adaptive) >= 4 and len(adaptive) >= 4 + (end := length(adaptive.view())[0]):
                adaptive.drop(4)
                adaptive.take(end)
        adaptive.drop()

    def look() -> None:
        for read in reads:
            adaptive.append(read)
            view, at = adaptive.view(), 0
            held = len(view)
            while held - at >= 4 and held - at >= 4 + (end := length(view, at)[0]):
                view[at + 4 : at + 4 + end].tobytes()
                at += 4 + end
            adaptive.drop(at)
        adaptive.drop()

    return {
        "`bytes`, cut off": slices,
        "`bytes`, offset": offset,
        "`bytearray`, `del`": delete,
        "`AdaptiveBuffer`, `take`": take,
        "`AdaptiveBuffer`, `view` and offset": look,
    }


def straight() -> Rows:
    """A message that arrives on a socket, 64 KiB at a time, is looked at in one piece, and is gone."""
    for size in (256 * KIB, MIB, 16 * MIB):
        with connected() as (sender, receiver):
            yield f"{text(size)} from a socket", partial(readers, sender, receiver, size)


def readers(sender: socket.socket, receiver: socket.socket, size: int) -> Ways:
    piece, count = bytes(64 * KIB), size // (64 * KIB)
    adaptive, large, grown = AdaptiveBuffer(128 * KIB), AdaptiveBuffer(32 * MIB), bytearray()

    def join() -> None:
        parts = []
        for _ in range(count):
            sender.send(piece)
            parts.append(receiver.recv(64 * KIB))
        b"".join(parts)

    def extend() -> None:
        nonlocal grown
        for _ in range(count):
            sender.send(piece)
            grown += receiver.recv(64 * KIB)
        grown.clear()

    def fill(buffer: AdaptiveBuffer) -> None:
        for _ in range(count):
            sender.send(piece)
            buffer.fill(receiver.recv_into(buffer.room(64 * KIB), 64 * KIB))
        buffer.drop()

    return {
        "`recv`, list, `join`": join,
        "`recv`, `bytearray +=`": extend,
        "`AdaptiveBuffer`, `room`": lambda: fill(adaptive),
        "`AdaptiveBuffer` that keeps 32 MiB": lambda: fill(large),
    }


class Point:
    """An object that costs next to nothing."""

    __slots__ = ("x", "y", "z")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.x = self.y = self.z = 0


class Table:
    """An object that sets a hundred things up, and forgets them as quickly as it can."""

    def __init__(self) -> None:
        self.kinds = {f"kind-{number}": [number] for number in range(100)}
        self.found: list[str] = []

    def reset(self) -> None:
        self.found.clear()


def objects() -> Rows:
    """One object made, or leased, and done with."""
    for name, create, reset in (
        ("three numbers", Point, Point.reset),
        ("a table of a hundred names", Table, Table.reset),
        ("an SQLite connection", partial(sqlite3.connect, ":memory:"), sqlite3.Connection.rollback),
    ):
        yield name, partial(makers, create, reset)


def makers(create: Callable[[], object], reset: Callable[[object], None]) -> Ways:
    pool = ObjectPool(create, reset)

    def acquire() -> None:
        pool.release(pool.acquire())

    def lease() -> None:
        with pool.lease():
            pass

    return {
        "made anew": lambda: create() and None,
        "`acquire`, `release`": acquire,
        "`with lease()`": lease,
    }


PARTS = {part.__name__: part for part in (receive, hold, accumulate, frames, straight, objects)}


def measure(way: Callable[[], object], seconds: float) -> float:
    """Microseconds for one time: of the processor, for what else runs here is not our business."""
    times, took = 1, 0.0
    while True:
        start = time.process_time()
        for _ in range(times):
            way()
        took = time.process_time() - start
        if took >= seconds / 2:
            return took / times * 1e6
        times = max(2 * times, int(times * seconds / max(took, 1e-9)))


def compare(ways: Ways, rounds: int, seconds: float) -> list[str]:
    """A cell for each way."""
    found: dict[str, list[float]] = {name: [] for name, way in ways.items() if way is not None}
    for _ in range(rounds):
        for name, taken in found.items():
            taken.append(measure(ways[name], seconds))
    medians = {name: statistics.median(taken) for name, taken in found.items()}
    best = min(medians.values())
    cells = {name: f"**{number(took)}**" if took == best else number(took) for name, took in medians.items()}
    return [cells.get(name, "-") for name in ways]


def number(microseconds: float) -> str:
    """Three digits that count."""
    if microseconds >= 100:
        return f"{microseconds:,.0f}"
    return f"{microseconds:.1f}" if microseconds >= 10 else f"{microseconds:.2f}"


def text(size: int) -> str:
    """``64 KiB``."""
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB" if size >= KIB else f"{size} B"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all of them when none is named")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.02)
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(
        f"CPython {platform.python_version()}, {platform.system()} {platform.release()}; processor time in µs"
    )
    for name in options.parts or PARTS:
        print(f"\n{PARTS[name].__doc__}\n")
        for index, (row, prepare) in enumerate(PARTS[name]()):
            sys.stdout.flush()
            # What malloc has learnt from one row must not help or hinder the next.
            if child := os.fork():
                os.waitpid(child, 0)
                continue
            ways = prepare()
            if not index:
                print(f"| {name} | {' | '.join(ways)} |\n|---{'|---' * len(ways)}|")
            print(f"| {row} | {' | '.join(compare(ways, options.rounds, options.seconds))} |", flush=True)
            os._exit(0)


if __name__ == "__main__":
    main()
