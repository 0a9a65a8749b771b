#!/usr/bin/env python3
"""What a bulk transfer through a relay costs: reads of several sizes, and splice through pipes as large.

    python benchmarks/splice.py
    python benchmarks/splice.py --connections 8 --rounds 11 --copy

A bare epoll relay in Python, with nothing around it, has one processor; a source and a sink have another.
Every round measures each way once, in an order of its own; the figures are medians of processor seconds for
a gigabyte.  On loopback whoever sends also does the receiver's part of TCP, so that a way may seem cheap
because its peers pay: the column that counts is the sum.  What is printed is Markdown.

The sink throws away what comes without looking at it, as if it were on another machine, unless --copy is
given.  Linux only.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import random
import select
import signal
import socket
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

KIB, MIB = 1024, 1024 * 1024
FLAGS = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)
WAYS = [("recv", 64 * KIB), *((kind, size * KIB) for size in (64, 256, 1024) for kind in ("into", "splice"))]
NAMES = {"recv": "`recv`", "into": "`recv_into`, always the same memory", "splice": "`splice`"}


class End:
    """One of the two connections of a relay, and what it has not taken yet."""

    def __init__(self, sock: socket.socket, poll: select.epoll) -> None:
        self.sock, self.poll = sock, poll
        self.other = self
        self.mask = select.EPOLLIN
        self.finished = False
        poll.register(sock.fileno(), self.mask)

    def watch(self, mask: int) -> None:
        if mask != self.mask:
            self.mask = mask
            self.poll.modify(self.sock.fileno(), mask)

    def blocked(self) -> None:
        """Nothing more is read for it until it has taken the rest."""
        self.watch(self.mask | select.EPOLLOUT)
        self.other.watch(self.other.mask & ~select.EPOLLIN)

    def free(self) -> None:
        self.watch(self.mask & ~select.EPOLLOUT)
        self.other.watch(self.other.mask | select.EPOLLIN)

    def finish(self) -> None:
        """Its FIN has come."""
        self.finished = True
        self.watch(self.mask & ~select.EPOLLIN)
        self.other.sock.shutdown(socket.SHUT_WR)


class Copying:
    """Bytes come into memory, and go out of it."""

    def __init__(self, size: int, fresh: bool) -> None:
        self.size, self.fresh = size, fresh
        self.memory = memoryview(bytearray(size))
        self.queues: dict[End, bytes] = {}

    def read(self, end: End) -> None:
        if self.fresh:
            data: bytes | memoryview = end.sock.recv(self.size)
        else:
            data = self.memory[: end.sock.recv_into(self.memory)]
        if not data:
            end.finish()
            return
        sent = 0
        with suppress(BlockingIOError):
            sent = end.other.sock.send(data)
        if sent != len(data):
            self.queues[end.other] = bytes(data[sent:])
            end.other.blocked()

    def write(self, end: End) -> None:
        queue = self.queues[end]
        self.queues[end] = queue[end.sock.send(queue) :]
        if not self.queues[end]:
            end.free()


class Splicing:
    """Bytes stay in the kernel.  A pipe is held while something lies in it, and used again."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.idle: list[tuple[int, int]] = []
        self.held: dict[End, tuple[tuple[int, int], int]] = {}

    def pipe(self) -> tuple[int, int]:
        if self.idle:
            return self.idle.pop()
        pipe = os.pipe2(os.O_NONBLOCK)
        fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, self.size)
        return pipe

    def read(self, end: End) -> None:
        pipe = self.pipe()
        got = os.splice(end.sock.fileno(), pipe[1], self.size, flags=FLAGS)
        sent = 0
        if not got:
            end.finish()
        else:
            with suppress(BlockingIOError):
                sent = os.splice(pipe[0], end.other.sock.fileno(), got, flags=FLAGS)
        if sent == got:
            self.idle.append(pipe)
        else:
            self.held[end.other] = pipe, got - sent
            end.other.blocked()

    def write(self, end: End) -> None:
        pipe, left = self.held[end]
        left -= os.splice(pipe[0], end.sock.fileno(), left, flags=FLAGS)
        self.held[end] = pipe, left
        if not left:
            self.idle.append(pipe)
            end.free()


def relay(kind: str, size: int, backend: int, listener: socket.socket) -> None:
    way = Splicing(size) if kind == "splice" else Copying(size, kind == "recv")
    poll = select.epoll()
    ends: dict[int, End] = {}
    poll.register(listener.fileno(), select.EPOLLIN)
    while True:
        for fd, event in poll.poll(-1, 512):
            if fd == listener.fileno():
                near, far = listener.accept()[0], socket.create_connection(("127.0.0.1", backend))
                for sock in (near, far):
                    sock.setblocking(False)
                    ends[sock.fileno()] = End(sock, poll)
                one, other = ends[near.fileno()], ends[far.fileno()]
                one.other, other.other = other, one
                continue
            if (end := ends.get(fd)) is None:
                continue
            with suppress(BlockingIOError):
                if event & select.EPOLLOUT:
                    way.write(end)
                elif event & select.EPOLLIN:
                    way.read(end)
                if end.finished and end.other.finished:
                    for done in (end, end.other):
                        del ends[done.sock.fileno()]
                        done.sock.close()


def sink(copy: bool, listener: socket.socket) -> None:
    poll = select.epoll()
    socks: dict[int, socket.socket] = {}
    memory, flags = bytearray(MIB), 0 if copy else socket.MSG_TRUNC
    poll.register(listener.fileno(), select.EPOLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                sock, _peer = listener.accept()
                socks[sock.fileno()] = sock
                poll.register(sock.fileno(), select.EPOLLIN)
            elif not socks[fd].recv_into(memory, MIB, flags):
                socks.pop(fd).close()


def send(port: int, connections: int, total: int) -> float:
    """Send so much over so many connections, and see each come to its end; seconds."""
    poll, data = select.epoll(), memoryview(bytes(MIB))
    socks, left = {}, {}
    for _ in range(connections):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setblocking(False)
        socks[sock.fileno()], left[sock.fileno()] = sock, total // connections
        poll.register(sock.fileno(), select.EPOLLOUT)
    start = time.perf_counter()
    while socks:
        for fd, _ in poll.poll():
            sock = socks[fd]
            if not left[fd]:
                if sock.recv(1):
                    raise SystemExit("the sink has spoken")
                socks.pop(fd).close()
                continue
            with suppress(BlockingIOError):
                left[fd] -= sock.send(data[: left[fd]])
            if not left[fd]:
                sock.shutdown(socket.SHUT_WR)
                poll.modify(fd, select.EPOLLIN)
    return time.perf_counter() - start


def start(processor: int, serve: Callable[[socket.socket], None]) -> tuple[int, int]:
    """The process that serves, and its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.sched_setaffinity(0, {processor})
        try:
            serve(listener)
        finally:
            os._exit(1)
    port: int = listener.getsockname()[1]
    listener.close()
    return pid, port


def busy(pid: int) -> float:
    """Seconds of processor time, of what the process does in the kernel too."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def measure(options: argparse.Namespace, connections: int) -> None:
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, processors[-1:])
    sink_pid, backend = start(processors[-1], partial(sink, options.copy))
    relays = {way: start(processors[0], partial(relay, *way, backend)) for way in WAYS}
    found: dict[tuple[str, int], list[tuple[float, float, float]]] = {way: [] for way in WAYS}
    try:
        for number in range(options.rounds + 1):
            for way in random.sample(WAYS, len(WAYS)):
                pid, port = relays[way]
                ours, peers = busy(pid), busy(sink_pid) + busy(os.getpid())
                took = send(port, connections, options.megabytes * 1_000_000)
                ours, peers = busy(pid) - ours, busy(sink_pid) + busy(os.getpid()) - peers
                if number:  # the first one warms up
                    gigabytes = options.megabytes / 1000
                    found[way].append((ours / gigabytes, (ours + peers) / gigabytes, gigabytes * 1000 / took))
    finally:
        for pid in (sink_pid, *(pid for pid, _ in relays.values())):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.sched_setaffinity(0, processors)
    print(f"\n| {connections} at once | relay, s/GB | relay and peers, s/GB | MB/s |\n|---|---|---|---|")
    for (kind, size), rounds in found.items():
        ours, both, speed = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"| {NAMES[kind]}, {size // KIB} KiB | {ours:.2f} | {both:.2f} | {speed:,.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 50])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--megabytes", type=int, default=500, help="in all, of a measurement (%(default)s)")
    parser.add_argument("--copy", action="store_true", help="the sink reads what comes")
    options = parser.parse_args()
    for connections in options.connections:
        measure(options, connections)


if __name__ == "__main__":
    main()
