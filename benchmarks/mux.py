#!/usr/bin/env python3
"""Measure streams over mux: beside the reference implementation of yamux, in one run, in turn.

    python benchmarks/mux.py
    python benchmarks/mux.py --rounds 1 --seconds 0.5 --streams 1000 --connections 100

The echo of tcpsuite, as it ships, and one in Go have one processor in turn, the load another.  The load is
the reference implementation too: messages on one stream and on 50, streams that are opened, used once and
closed, and small messages beside a stream that moves all it can.  Then the memory of each stream that is held
idle, and of each connection without any.  A figure is the median of the rounds, and a ratio that of ours over
Go's, round by round.

It needs taskset, Go, and the sources of yamux (Debian: golang-go golang-github-hashicorp-yamux-dev).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from comparison import BenchError, asking, machine
from comparison.running import Started, listens, serving
from comparison.servers import OURS, PEERS, Kit, Server, ours, succeeds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GO = "yamux in Go"
ROUNDS, SECONDS = 5, 2.0
STREAMS, CONNECTIONS, OPENED = 10_000, 1_000, 10_000
MESSAGES = (
    ("100 B, 1 stream", 100, 1, "per_s", 1.0),
    ("100 B, 50 streams", 100, 50, "per_s", 1.0),
    ("1 KiB, 50 streams", 1024, 50, "per_s", 1.0),
    ("200 KiB, 1 stream", 200 * 1024, 1, "mb_s", 0.8),
    ("1 MiB, 1 stream", 1024 * 1024, 1, "mb_s", 0.8),
)
"""What is sent, on how many streams, what of it is told, and the least ratio that we hold ourselves to."""
UNITS = {"per_s": "messages a second", "mb_s": "MB a second"}
LEAST_OPENED = 20_000.0
LATER, AT_MOST = 10.0, 2_000.0
"""How many times as long small messages may take beside large ones, or microseconds."""
STREAM_MEMORY, CONNECTION_MEMORY = 1024, 8 * 1024


class Load:
    """The program in Go, built.

    :raises BenchError: saying what is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.program = str(folder / "yamux")
        env = {
            **os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "",
            "GOCACHE": str(folder / "go"),
        }  # fmt: skip
        if not succeeds("go", "build", "-o", self.program, str(PEERS / "yamux.go"), env=env):
            raise BenchError(
                "Go and yamux are needed: apt install golang-go golang-github-hashicorp-yamux-dev"
            )

    def of(self, how: str, server: Started, **words: object) -> dict[str, float]:
        """The figures of one measurement; ``words`` in the order in which the program wants them.

        :raises BenchError: when it fails.
        """
        argv = self._argv(how, server, *words.values())
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"{how} failed: {done.stderr.strip()}")
        told: dict[str, float] = json.loads(done.stdout)
        return told

    def held(self, how: str, server: Started, count: int) -> float:
        """Bytes that the server takes for each of so many that are held."""
        before = machine.resident(server.process.pid)
        with subprocess.Popen(
            self._argv(how, server, count), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as load:
            assert load.stdin is not None
            assert load.stdout is not None
            if load.stdout.readline() != "held\n":
                raise BenchError(f"{count} {how} could not be held")
            taken = machine.resident(server.process.pid) - before
            load.stdin.close()
        return taken / count

    def _argv(self, how: str, server: Started, *words: object) -> list[str]:
        return ["taskset", "-c", str(machine.LOAD), self.program, how, str(server.port), *map(str, words)]


@contextmanager
def started(load: Load, kit: Kit, name: str) -> Iterator[Started]:
    """One of the two servers."""
    if name == GO:
        server = Server(GO, (load.program, "serve", "{port}"))
    else:
        shipped = ours(kit, "echo", limits="connections = 20000\nconnections_per_ip = 0")
        server = Server(OURS, kit.ours, config=shipped.config.replace('"tcp:{port}', '"mux:tcp:{port}'))
    with serving(server, kit.folder / name.replace(" ", "-"), {}, listens) as running:
        yield running


def side_by_side(load: Load, servers: dict[str, Started], args: argparse.Namespace) -> None:
    """Print the table of messages, and the one of opened streams."""
    print(f"| | | {OURS} | {GO} | ratio | at least |\n|---|---|---|---|---|---|")
    for what, size, streams, unit, least in MESSAGES:
        echo = partial(load.of, "echo", size=size, streams=streams, seconds=args.seconds)
        rounds = in_turn(servers, args.rounds, echo, unit)
        print(row(what, UNITS[unit], rounds, f"{least:.1f}"), flush=True)
    rounds = in_turn(servers, args.rounds, partial(load.of, "opens", count=args.opened), "per_s")
    print(row("opened, used once, closed", "streams a second", rounds, f"{LEAST_OPENED:,.0f}"), flush=True)


def in_turn(
    servers: dict[str, Started], rounds: int, measured: Callable[[Started], dict[str, float]], figure: str
) -> dict[str, list[float]]:
    """The figure of each server, as often as there are rounds; every other round goes the other way."""
    found: dict[str, list[float]] = {name: [] for name in servers}
    for number in range(rounds):
        for name in reversed(servers) if number % 2 else servers:
            found[name].append(measured(servers[name])[figure])
    return found


def row(what: str, unit: str, rounds: dict[str, list[float]], least: str) -> str:
    """Of a table."""
    mine, theirs = rounds[OURS], rounds[GO]
    ratios = [one / other for one, other in zip(mine, theirs, strict=True)]
    medians = " | ".join(f"{statistics.median(each):,.0f}" for each in (mine, theirs))
    ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return f"| {what} | {unit} | {medians} | {ratio} | {least} |"


def beside(load: Load, servers: dict[str, Started], args: argparse.Namespace) -> None:
    """Print how long small messages take, alone and beside a large one."""
    print("\n| 99 of 100 within | alone | beside a stream that moves all it can | bound |\n|---|---|---|---|")
    for name, server in servers.items():
        alone = statistics.median(
            load.of("echo", server, size=100, streams=1, seconds=args.seconds)["p99_us"]
            for _ in range(args.rounds)
        )
        beside = statistics.median(
            load.of("beside", server, size=100, seconds=args.seconds)["p99_us"] for _ in range(args.rounds)
        )
        bound = f"{max(LATER * alone, AT_MOST):,.0f} µs" if name == OURS else ""
        print(f"| {name} | {alone:,.0f} µs | {beside:,.0f} µs | {bound} |", flush=True)


def memory(load: Load, kit: Kit, args: argparse.Namespace) -> None:
    """Print what is taken for each stream, and for each connection, of a server that is fresh."""
    print("\n| bytes for each | tcpsuite | yamux in Go | under |\n|---|---|---|---|")
    for what, how, count, most in (
        ("idle stream", "streams", args.streams, STREAM_MEMORY),
        ("idle connection", "connections", args.connections, CONNECTION_MEMORY),
    ):
        taken = []
        for name in (OURS, GO):
            with started(load, kit, name) as server:
                load.held(how, server, 1)
                taken.append(load.held(how, server, count))
        print(f"| {what}, of {count:,} | {taken[0]:,.0f} | {taken[1]:,.0f} | {most:,} |", flush=True)


def measure(args: argparse.Namespace, folder: Path) -> int:
    """Measure all, and print it; gives the status to end with."""
    kit = Kit(folder, sys.executable, machine.raise_file_limit())
    load = Load(folder)
    asking.warn()
    print(f"{machine.describe(sys.executable)}; {asking.rounds_of(args.rounds, args.seconds)}.\n")
    with started(load, kit, OURS) as mine, started(load, kit, GO) as theirs:
        servers = {OURS: mine, GO: theirs}
        side_by_side(load, servers, args)
        beside(load, servers, args)
    memory(load, kit, args)
    return 0


def main() -> int:
    """Read the command line, and measure."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--rounds", type=asking.whole, default=ROUNDS, help="of each (%(default)s)")
    ask.add_argument("--seconds", type=asking.length, default=SECONDS, help="of each (%(default)s)")
    ask.add_argument("--streams", type=asking.whole, default=STREAMS, help="held idle (%(default)s)")
    ask.add_argument("--connections", type=asking.whole, default=CONNECTIONS, help="likewise (%(default)s)")
    ask.add_argument("--opened", type=asking.whole, default=OPENED, help="streams in a round (%(default)s)")
    args = ask.parse_args()
    return asking.carry_out(lambda folder: measure(args, folder), "mux-")


if __name__ == "__main__":
    sys.exit(main())
