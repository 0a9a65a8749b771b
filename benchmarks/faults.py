#!/usr/bin/env python3
"""A TCP relay that does badly, in the way that it is told to.

    python benchmarks/faults.py 127.0.0.1:6379 --latency 50
    python benchmarks/faults.py 127.0.0.1:6379 --listen 7001 --bandwidth 100000 --slices 10 --seed 7

It prints the port that it listens on, and relays each connection to the address until it is ended:

--latency MS       what comes from either side waits so long before it goes on
--jitter MS        up to so much more, by chance; nothing overtakes
--bandwidth B      bytes a second, each way, of each connection
--slices B         passes everything on in pieces of 1 to B bytes, by chance, each a segment of its own
--reset-after B    resets both sides when so many bytes have passed, both ways together
--stall-after B    reads no more when so many bytes have passed, and keeps the connection
--refuse SHARE     resets so large a part of the connections when they come: 0.1 is every tenth, by chance
--seed N           what is left to chance is the same for the same seed, connection by connection

A FIN is passed on behind the bytes before it, as late as they are; a reset at once.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import struct
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

READ = 64 * 1024
HELD = 1024 * 1024
"""Bytes on their way in one direction from which on no more is read: more than a fast line holds in 50 ms."""
RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Faults:
    """What is done badly: times in seconds, sizes in bytes; 0 leaves it out."""

    latency: float = 0.0
    jitter: float = 0.0
    bandwidth: float = 0.0
    slices: int = 0
    reset_after: int = 0
    stall_after: int = 0
    refuse: float = 0.0
    seed: int = 0


@dataclass
class Line:
    """One connection: what has passed on it so far, and what chance it has."""

    faults: Faults
    chance: Random
    passed: int = 0

    def stretch(self, size: int) -> int:
        """How many of ``size`` bytes may pass before something happens."""
        ends = [each for each in (self.faults.reset_after, self.faults.stall_after) if each]
        return max(0, min(size, min(ends, default=self.passed + size) - self.passed))

    @property
    def over(self) -> bool:
        """Whether it is to be reset now."""
        return 0 < self.faults.reset_after <= self.passed

    @property
    def stalled(self) -> bool:
        """Whether it is to be read no more."""
        return 0 < self.faults.stall_after <= self.passed


class Cut(Exception):  # noqa: N818
    """The connection is to be reset."""


@dataclass
class Direction:
    """Carries what one side says to the other."""

    line: Line
    source: asyncio.StreamReader
    sink: asyncio.StreamWriter
    waiting: deque[tuple[float, bytes]] = field(default_factory=deque)
    held: int = 0
    free: float = 0.0  # when the last byte so far has gone, at the given bandwidth
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Done behind the FIN; raises ``Cut`` or ``ConnectionError``."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            tasks.create_task(self._write())

    async def _read(self) -> None:
        now = asyncio.get_running_loop().time
        faults, chance = self.line.faults, self.line.chance
        data = b"x"
        while data:
            while self.held >= HELD or self.line.stalled:
                self.changed.clear()
                await self.changed.wait()
            data = await self.source.read(READ)
            for piece in self._pieces(data) if data else (b"",):
                due = now() + faults.latency + faults.jitter * chance.random()
                if faults.bandwidth:
                    due = max(due, self.free) + len(piece) / faults.bandwidth
                self.free = max(due, self.free)
                self.waiting.append((self.free, piece))
                self.held += len(piece)
            self.changed.set()

    def _pieces(self, data: bytes) -> list[bytes]:
        most, pieces = self.line.faults.slices or READ, []
        while data:
            size = self.line.chance.randint(1, most) if self.line.faults.slices else most
            pieces.append(data[:size])
            data = data[size:]
        return pieces

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self.waiting:
                self.changed.clear()
                await self.changed.wait()
            due, piece = self.waiting.popleft()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            self.held -= len(piece)
            self.changed.set()
            if not piece:
                self.sink.write_eof()
                return
            passing = piece[: self.line.stretch(len(piece))]
            self.line.passed += len(passing)
            self.sink.write(passing)
            await self.sink.drain()
            if self.line.over:
                raise Cut
            if self.line.stalled:
                await self.sink.wait_closed()
                raise Cut


class Relay:
    """Relays connections to ``host`` and ``port``."""

    def __init__(self, host: str, port: int, faults: Faults) -> None:
        self._host = host
        self._port = port
        self._faults = faults
        self._count = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        self._count += 1
        line = Line(self._faults, Random(f"{self._faults.seed} {self._count}"))
        writers = [writer]
        if line.chance.random() < self._faults.refuse:
            reset(writer)
            return
        try:
            there = await asyncio.open_connection(self._host, self._port)
            writers.append(there[1])
            for each in writers:
                each.transport.set_write_buffer_limits(0)
                each.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(Direction(line, reader, there[1]).run())
                tasks.create_task(Direction(line, there[0], writer).run())
        except* (OSError, Cut):
            for each in writers:
                reset(each)
        finally:
            for each in writers:
                each.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a reset: asyncio's abort alone would be a FIN."""
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


def address(text: str) -> tuple[str, int]:
    """``HOST:PORT``."""
    host, _, port = text.rpartition(":")
    return host, int(port)


def questions() -> argparse.ArgumentParser:
    """The options."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("to", type=address, metavar="HOST:PORT")
    ask.add_argument(
        "--listen", type=int, default=0, metavar="PORT", help="on 127.0.0.1; 0: any (%(default)s)"
    )
    for name in ("latency", "jitter"):
        ask.add_argument(f"--{name}", type=float, default=0.0, metavar="MS")
    ask.add_argument("--bandwidth", type=float, default=0.0, metavar="B")
    for name in ("slices", "reset-after", "stall-after"):
        ask.add_argument(f"--{name}", type=int, default=0, metavar="B")
    ask.add_argument("--refuse", type=float, default=0.0, metavar="SHARE")
    ask.add_argument("--seed", type=int, default=0, metavar="N")
    return ask


async def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    args = questions().parse_args()
    faults = Faults(
        latency=args.latency / 1000,
        jitter=args.jitter / 1000,
        bandwidth=args.bandwidth,
        slices=args.slices,
        reset_after=args.reset_after,
        stall_after=args.stall_after,
        refuse=args.refuse,
        seed=args.seed,
    )
    host, port = args.to
    server = await asyncio.start_server(
        Relay(host, port, faults).serve, "127.0.0.1", args.listen, backlog=1024, limit=READ
    )
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
