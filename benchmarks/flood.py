#!/usr/bin/env python3
"""What honest clients notice of a flood of connections that limits refuse.

    python benchmarks/flood.py                        3 rounds: five minutes
    python benchmarks/flood.py echo close --rounds 1 --seconds 2 --rate 5000

A thousand addresses hold as many connections as one may have, and then try for more, 20,000 times a second
together.  Meanwhile honest clients, who come from other addresses, connect, send 100 bytes, have them back,
and go: 200 a second, each when it is due, however the one before it fares.  They are measured with the flood
and, right before it, without.  A latency counts from the moment at which the connection was due.

The server, echo or a gateway in front of an echo in C, has one processor; the flood, the honest clients and
what is behind the gateway share another, and the flood is told to yield to them.  Connections are refused by
closing and by a reset.  The rate is that at which connections were really made: on a machine that is too
small or too busy it may be less than was asked for.  In brackets stand the least and the most of the rounds.

It needs a C compiler and taskset.  What is printed is Markdown.  The status is 1 when a round failed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from comparison import BenchError, asking, machine, reporting
from comparison.running import echoes, on_load, say, serving
from comparison.servers import Kit, Server, ours

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 3
SECONDS = 10.0
RATE = 20_000
HONEST_RATE = 200
FLOODERS, HONEST = 1000, 100
"""How many addresses each come from."""
ALLOWED = 2
"""Connections that one address may have."""
SETTLING, WARM_UP = 1.0, 0.5
SERVICES, ACTIONS = ("echo", "relay"), ("close", "reset")
SUCCESS, TIMES, AT_LEAST_MS = 0.999, 3.0, 5.0
"""Goals: this share of the honest is served, and 99 of 100 of them within so many times what it takes without
a flood, or so many milliseconds if that is more."""
LIMITS = """
connections = 8000
connections_per_ip = {allowed}
exempt_loopback = false
reject = "{action}\""""

Told = dict[str, float]


def questions() -> argparse.ArgumentParser:
    """The options."""
    ask = asking.questions(__doc__, ROUNDS, SECONDS)
    ask.add_argument("service", nargs="?", choices=SERVICES, help="only this one (both)")
    ask.add_argument("action", nargs="?", choices=ACTIONS, help="only this way to refuse (both)")
    ask.add_argument("--rate", type=asking.whole, default=RATE, help="connections a second (%(default)s)")
    return ask


class Bench:
    """Runs the rounds.

    :param program: the one that makes connections.
    """

    def __init__(self, kit: Kit, program: str, rate: int, seconds: float) -> None:
        self._kit = kit
        self._program = program
        self._rate = rate
        self._seconds = seconds
        self._count = 0

    def round(self, service: str, action: str) -> tuple[Told, Told, Told]:
        """What the honest were told without a flood and with one, and what the flood was.

        :raises BenchError: when a server does not serve, or the flood cannot begin.
        """
        self._count += 1
        folder = self._kit.folder / str(self._count)
        folder.mkdir()
        server = ours(self._kit, service, limits=LIMITS.format(allowed=ALLOWED, action=action))
        with ExitStack() as stay:
            backend = 0
            if service == "relay":
                echo = Server("the backend", (self._kit.echo, "{port}"))
                up = stay.enter_context(serving(echo, folder / "echo", {}, echoes, machine.BACKEND))
                backend = up.port
            started = stay.enter_context(serving(server, folder / "ours", {"backend": backend}, echoes))
            flood = stay.enter_context(self._begun(started.port))
            # The kernel holds them at once; a gateway makes as many connections more, which takes a moment.
            quiet = self._honest(started.port, self._seconds, warm=SETTLING)
            assert flood.stdin is not None
            flood.stdin.write("go\n")
            flood.stdin.flush()
            busy = machine.busy_seconds(started.process.pid)
            loud = self._honest(started.port, self._seconds - WARM_UP, warm=WARM_UP)
            loud["busy"] = (machine.busy_seconds(started.process.pid) - busy) / self._seconds
            told, _ = flood.communicate(timeout=60)
            return quiet, loud, json.loads(told)

    def _begun(self, port: int) -> subprocess.Popen[str]:
        """The flood, once all that it may have is there."""
        words = ["-p", port, "-a", FLOODERS, "-k", ALLOWED, "-r", self._rate, "-t", self._seconds]
        argv = ["nice", "-n", "5", *on_load(self._program), *map(str, words)]
        flood = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert flood.stdout is not None
        if flood.stdout.readline() != "held\n":
            raise BenchError("the flood could not begin")
        return flood

    def _honest(self, port: int, seconds: float, warm: float = 0.0) -> Told:
        words = ["-p", port, "-a", HONEST, "-b", "127.2.0.1", "-s", 100, "-r", HONEST_RATE, "-t", seconds]
        argv = [*on_load(self._program), *map(str, words), "-w", str(warm)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(done.stderr.strip())
        told: Told = json.loads(done.stdout)
        return told


def row(title: str, rounds: list[tuple[Told, Told, Told]], rate: int) -> list[str]:
    """What a service noticed, in words for the table."""
    success = [loud["served"] / loud["made"] for _, loud, _ in rounds]
    within = [
        loud["p99_ms"] / max(TIMES * quiet["p99_ms"], AT_LEAST_MS) for quiet, loud, _ in rounds
    ]  # 1 is what is allowed
    served, tail = reporting.spread(success), reporting.spread(within)
    assert served is not None
    assert tail is not None
    cells = [
        reporting.show(reporting.spread(flood["per_s"] for *_, flood in rounds), ",.0f"),
        reporting.show(reporting.spread(flood["refused"] / flood["made"] for *_, flood in rounds), ".1%"),
        reporting.show(served, ".2%"),
        "met" if served.middle >= SUCCESS else "missed",
        reporting.show(reporting.spread(quiet["p99_ms"] for quiet, *_ in rounds), ".2f"),
        reporting.show(reporting.spread(loud["p99_ms"] for _, loud, _ in rounds), ".2f"),
        "met" if tail.middle <= 1 else "missed",
        reporting.show(reporting.spread(loud["busy"] for _, loud, _ in rounds), ".0%"),
    ]
    if reporting.spread(flood["per_s"] for *_, flood in rounds).middle < 0.95 * rate:  # type: ignore[union-attr]
        cells[0] += "*"
    return [title, *cells]


def measure(args: argparse.Namespace, folder: Path) -> int:
    """Run all rounds, print the table, and give the status to end with."""
    kit = Kit(folder, sys.executable, machine.raise_file_limit())
    kit.build()
    asking.warn()
    bench = Bench(kit, kit.compile("flood"), args.rate, args.seconds)
    ways = [
        (service, action)
        for service in SERVICES
        for action in ACTIONS
        if args.service in (None, service) and args.action in (None, action)
    ]
    rounds: dict[tuple[str, str], list[tuple[Told, Told, Told]]] = {way: [] for way in ways}
    failed = False
    for number in range(args.rounds):
        for way in reversed(ways) if number % 2 else ways:
            say(" ".join(way))
            try:
                rounds[way].append(bench.round(*way))
            except BenchError as error:
                failed = True
                say(str(error))
    described = machine.describe(sys.executable)
    rows = [
        [
            *("", "connections/s", "of them refused", "honest served", f"at least {SUCCESS:.1%}"),
            *("99 of 100 within, ms: quiet", "in the flood", f"{TIMES:g} times, or {AT_LEAST_MS:g}"),
            "of a processor",
        ]
    ]
    rows += [row(f"{way[0]}, {way[1]}", rounds[way], args.rate) for way in ways if rounds[way]]
    text = "\n\n".join(
        [
            f"{described}; {time.strftime('%B %Y')}, {asking.rounds_of(args.rounds, args.seconds)}.",
            reporting.table(rows),
            *(
                [f"\\* {args.rate:,} a second were asked for."]
                if any("*" in each[1] for each in rows)
                else []
            ),
        ]
    )
    print(text)
    if args.output:
        told = {" ".join(way): found for way, found in rounds.items()}
        asking.write(args.output, text, {"machine": described, "seconds": args.seconds, "ways": told})
    return 1 if failed else 0


def main() -> int:
    """Measure, print, and write it down."""
    args = questions().parse_args()
    if args.output:
        asking.writable(args.output)
    return asking.carry_out(lambda folder: measure(args, folder), "flood-")


if __name__ == "__main__":
    sys.exit(main())
