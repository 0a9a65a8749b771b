#!/usr/bin/env python3
"""What each strategy makes of three servers of which one is slow: its share, and what clients wait.

    python benchmarks/slow_server.py
    python benchmarks/slow_server.py least_time power_of_two --rounds 1 --seconds 1

Three echo servers stand behind the gateway, one of them behind a relay that adds 50 ms to every answer
(benchmarks/faults.py).  Two kinds of load, 20 connections at a time:

short     connect, 100 bytes, have them back, close
loops     the same with ten times 100 bytes, one after the other

A share is that of all connections that the servers have had, as the gateway counts them; a third is fair.
Each strategy has a gateway of its own in each round, one after the other, so that a drift of the machine
meets all alike; a figure is the median of the rounds.  The first quarter of a second, in which a strategy
that goes by times has none yet, counts in the shares and not in the times.

It needs a C compiler and taskset.  What is printed is Markdown.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from comparison import BenchError, asking, machine, reporting
from comparison.running import echoes, on_load, output, say, serving
from comparison.servers import OURS, Kit, Server

from tcpsuite.core.balancing import STRATEGIES

if TYPE_CHECKING:
    import argparse
    from contextlib import AbstractContextManager

    from comparison.running import Started

ROUNDS = 3
SECONDS = 3.0
CONNECTIONS = 20
REQUESTS = 10
"""Of a connection that asks in a loop."""
WARM_UP = 0.25
KINDS = {"short": "Short connections", "loops": f"Connections of {REQUESTS} requests"}

CONFIG = """
state_directory = "{folder}/state"

[listener.gate]
endpoint = "tcp:{port}:interface=127.0.0.1:backlog=4096"
service = "gateway"
upstream = "three"

[upstream.three]
strategy = "{strategy}"
servers = [
  { name = "slow", address = "tcp:127.0.0.1:{slow}" },
  { name = "b", address = "tcp:127.0.0.1:{b}" },
  { name = "c", address = "tcp:127.0.0.1:{c}" },
]

[admin]
endpoint = "tcp:{status}:interface=127.0.0.1"
"""


class Figures(NamedTuple):
    """What one measurement told.

    :ivar share: of the slow server, of all connections.
    :ivar mean: latency, in milliseconds.
    :ivar p99: the same.
    """

    share: float
    mean: float
    p99: float


def questions() -> argparse.ArgumentParser:
    """The options."""
    ask = asking.questions(__doc__, ROUNDS, SECONDS)
    ask.add_argument(
        "strategies", nargs="*", metavar="STRATEGY", help=f"which of {', '.join(STRATEGIES)} (all)"
    )
    ask.add_argument(
        "--added", type=asking.length, default=50.0, metavar="MS", help="to an answer (%(default)s)"
    )
    return ask


class Bench:
    """Three servers, and gateways in front of them.

    :param folder: where to write.
    :param seconds: how long each measurement takes.
    :param added: milliseconds that the relay adds to an answer.
    """

    def __init__(self, folder: Path, seconds: float, added: float) -> None:
        self._kit = Kit(folder, sys.executable, machine.raise_file_limit())
        self._kit.build()
        self._seconds = seconds
        self._added = added
        self._words: dict[str, object] = {}
        self._count = 0
        self._stack = ExitStack()

    def __enter__(self) -> Bench:
        echo = Server("an echo server", (self._kit.echo, "{port}"))
        relay = Path(__file__).parent / "faults.py"
        late = ("127.0.0.1:{behind}", "--listen", "{port}", "--latency", str(self._added / 2))
        with self._stack as stack:
            self._words |= {
                name: stack.enter_context(self._serving(echo)).port for name in ("behind", "b", "c")
            }
            slow = Server("the relay", (sys.executable, str(relay), *late))
            self._words["slow"] = stack.enter_context(self._serving(slow)).port
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self, strategy: str, kind: str) -> Figures:
        """What a gateway of that strategy makes of that kind of load.

        :raises BenchError: when something does not start or answer.
        """
        self._words |= {"strategy": strategy, "status": machine.free_port()}
        with self._serving(Server(OURS, self._kit.ours, config=CONFIG), machine.SERVER) as gateway:
            before = self._connections()
            depth = REQUESTS if kind == "loops" else 1
            told = self._load(gateway.port, depth)
            after = self._connections()
        grown = {name: after[name] - before[name] for name in after}
        if not (sum(grown.values()) and told["done"]):
            raise BenchError(f"{strategy}: nobody was served")
        if told["failed"]:
            raise BenchError(f"{strategy}: {told['failed']:.0f} connections failed")
        return Figures(grown["slow"] / sum(grown.values()), told["mean_us"] / 1000, told["p99_us"] / 1000)

    def _load(self, port: int, depth: int) -> dict[str, float]:
        times = ("-t", str(self._seconds), "-w", str(WARM_UP))
        what = ("-n", "-s", "100", "-d", str(depth), "-c", str(CONNECTIONS))
        told: dict[str, float] = json.loads(
            output([*on_load(self._kit.load), "-p", str(port), *times, *what])
        )
        return told

    def _connections(self) -> dict[str, int]:
        """What each server has had so far, as the gateway tells."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._words['status']}/api/v1/status") as answer:
            (upstream,) = json.load(answer)["upstreams"].values()
        return {server["name"]: server["connections"] for server in upstream["servers"]}

    def _serving(self, server: Server, processor: int = machine.BACKEND) -> AbstractContextManager[Started]:
        self._count += 1
        return serving(server, self._kit.folder / str(self._count), self._words, echoes, processor)


def table(title: str, found: dict[str, list[Figures]]) -> str:
    """A row for each strategy: the medians of its rounds, and between which its shares lay."""
    rows = [["", "share of the slow server", "mean, ms", "99 %, ms"]]
    for strategy, rounds in found.items():
        shares, means, p99s = zip(*rounds, strict=True)
        share = f"{statistics.median(shares):.1%}"
        if len(rounds) > 1:
            share += f" ({min(shares):.1%} to {max(shares):.1%})"
        rows.append([f"`{strategy}`", share, *(f"{statistics.median(each):.1f}" for each in (means, p99s))])
    return f"{title}\n\n{reporting.table(rows)}"


def measure(args: argparse.Namespace, folder: Path) -> int:
    """Run all, and print the tables."""
    chosen = [each for each in STRATEGIES if not args.strategies or each in args.strategies]
    found: dict[str, dict[str, list[Figures]]] = {kind: {each: [] for each in chosen} for kind in KINDS}
    asking.warn()
    with Bench(folder, args.seconds, args.added) as bench:
        for number in range(args.rounds):
            for strategy in reversed(chosen) if number % 2 else chosen:
                for kind in KINDS:
                    say(f"round {number + 1}: {strategy}, {kind}")
                    found[kind][strategy].append(bench.measure(strategy, kind))
    described = machine.describe(sys.executable)
    head = f"{described}; {time.strftime('%B %Y')}, {asking.rounds_of(args.rounds, args.seconds)}."
    text = "\n\n".join([head, *(table(title, found[kind]) for kind, title in KINDS.items())])
    print(text)
    if args.output:
        told = {
            kind: {name: list(map(Figures._asdict, each)) for name, each in found[kind].items()}
            for kind in KINDS
        }
        asking.write(args.output, text, {"machine": described, "seconds": args.seconds, **told})
    return 0


def main() -> int:
    """Measure, print, and write it down."""
    args = questions().parse_args()
    if unknown := set(args.strategies) - set(STRATEGIES):
        raise SystemExit(f"no strategy {', '.join(sorted(unknown))}: {', '.join(STRATEGIES)}")
    if args.output:
        asking.writable(args.output)
    return asking.carry_out(lambda folder: measure(args, folder), "slow-server-")


if __name__ == "__main__":
    sys.exit(main())
