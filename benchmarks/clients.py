#!/usr/bin/env python3
"""What clients of PostgreSQL and Redis measure directly, through tcpsuite and through HAProxy.

    python benchmarks/clients.py                      5 rounds of 20 s: a quarter of an hour
    python benchmarks/clients.py --rounds 1 --seconds 2 --case pgbench

The clients are pgbench (-S, 8 connections) and redis-benchmark (SET and GET, 50 connections, 16 requests
deep and one at a time); the figures are what they say themselves.  tcpsuite runs as it ships, with an access
log and limits, HAProxy in TCP mode with the buffers that it comes with.  In every round each way is measured
once, one after the other, in an order that changes; a ratio is that of one round.  SET and GET share the
seconds, which are rounded up to whole ones for pgbench.

The gateways have one processor, the database and its client another.  What is not installed is named and
left out.  It needs taskset.  What is printed is Markdown.  The status is 1 when tcpsuite failed in every
round of a case.
"""

from __future__ import annotations

import argparse
import csv
import math
import re
import shutil
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from comparison import BenchError, asking, backends, machine, reporting
from comparison.running import on_load, output, say, serving
from comparison.servers import OURS, Kit, relay_servers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from comparison.running import Figures, Rounds, Started
    from comparison.servers import Server

ROUNDS = 5
SECONDS = 20.0
DIRECT, HAPROXY = "direct", "HAProxy"
PROBE = 5_000
"""Requests, for each that is under way at once, that show how many fill the time."""


@dataclass(frozen=True)
class Case:
    """One run of a client.

    :ivar measure: runs it against a port for so many seconds; its figures, by their names.
    :ivar titles: what each of them is called.
    :ivar at_least: what ours is to be of HAProxy's.
    """

    key: str
    measure: Callable[[int, float], Figures]
    titles: dict[str, str]
    at_least: float


@dataclass(frozen=True)
class Database:
    """A database, and what its clients measure.

    :ivar programs: what must be installed.
    :ivar package: what has them, on Debian and Ubuntu.
    :ivar server: how it is started, in a folder that may be made.
    :ivar answers: whether it does, on a port, directly or through a gateway.
    :ivar fill: gives it the data that the clients ask for.
    """

    key: str
    programs: tuple[str, ...]
    package: str
    server: Callable[[Path], Server]
    answers: Callable[[int], bool]
    fill: Callable[[int], None]
    cases: tuple[Case, ...]


def pgbench(port: int, seconds: float) -> Figures:
    """Transactions a second, without the time for connecting."""
    load = ("-n", "-S", "-c", "8", "-T", str(math.ceil(seconds)))
    told = output(
        [*on_load("pgbench"), *load, "-h", "127.0.0.1", "-p", str(port), "-U", backends.USER, "postgres"]
    )
    found = re.search(r"^tps = ([\d.]+)", told, re.MULTILINE)
    if not found:
        raise BenchError(f"pgbench does not tell its figure: {told}")
    return {"tps": float(found[1])}


def redis_benchmark(depth: int, port: int, seconds: float) -> Figures:
    """Requests a second of each command; half of the time is for each."""
    rates = redis_rates(port, depth, PROBE * depth)
    return redis_rates(port, depth, math.ceil(min(rates.values()) * seconds / 2))


def redis_rates(port: int, depth: int, requests: int) -> Figures:
    """Requests a second, when each command is sent so often."""
    words = ["-p", str(port), "-t", "set,get", "-c", "50", "-P", str(depth), "-n", str(requests), "--csv"]
    told = output([*on_load("redis-benchmark"), *words])
    rates = {
        row[0]: float(row[1]) for row in csv.reader(told.splitlines()) if row and row[0] in ("SET", "GET")
    }
    if len(rates) != 2:
        raise BenchError(f"redis-benchmark does not tell its figures: {told}")
    return rates


def redis_case(depth: int, at_least: float) -> Case:
    """redis-benchmark with so many requests of each connection under way."""
    titles = {command: f"redis-benchmark -P {depth}, {command}/s" for command in ("SET", "GET")}
    return Case(f"redis-{depth}", partial(redis_benchmark, depth), titles, at_least)


DATABASES = (
    Database(
        "postgres",
        ("postgres", "initdb", "pg_isready", "pgbench"),
        "postgresql",
        backends.postgres,
        backends.postgres_answers,
        backends.fill_postgres,
        (Case("pgbench", pgbench, {"tps": "pgbench -S -c 8, transactions/s"}, 0.92),),
    ),
    Database(
        "redis",
        ("redis-server", "redis-benchmark"),
        "redis-server and redis-tools",
        backends.redis,
        backends.redis_answers,
        lambda _: None,
        (redis_case(16, 0.92), redis_case(1, 0.80)),
    ),
)


def questions() -> argparse.ArgumentParser:
    """The options."""
    ask = asking.questions(__doc__, ROUNDS, SECONDS)
    keys = [case.key for database in DATABASES for case in database.cases]
    ask.add_argument("--case", action="append", choices=keys, help="only this one; may be repeated")
    return ask


def run(
    database: Database, kit: Kit, gateways: Sequence[Server], rounds: int, seconds: float
) -> dict[str, Rounds]:
    """Measure each case directly and through all gateways, in turn; by the case's key.

    :raises BenchError: when the database or tcpsuite does not start.  A peer that does not has failed.
    """
    found: dict[str, Rounds] = {}
    with ExitStack() as stack:
        server = database.server(kit.folder / database.key)
        folder = kit.folder / f"{database.key}-server"
        backend = stack.enter_context(serving(server, folder, {}, database.answers, machine.BACKEND))
        database.fill(backend.port)
        ways = {DIRECT: backend}
        for number, gateway in enumerate(gateways):
            folder = kit.folder / f"{database.key}-gateway-{number}"
            words: dict[str, object] = {"backend": backend.port}
            try:
                ways[gateway.name] = stack.enter_context(serving(gateway, folder, words, database.answers))
            except BenchError as error:
                if gateway.name == OURS:
                    raise
                say(str(error))
        names = [DIRECT, *(gateway.name for gateway in gateways)]
        for case in database.cases:
            say(case.key)
            measured = found[case.key] = {name: [] for name in names}
            for number in range(rounds):
                for name in reversed(names) if number % 2 else names:
                    measured[name].append(measure(case, ways[name], seconds) if name in ways else None)
    return found


def measure(case: Case, way: Started, seconds: float) -> Figures | None:
    """One measurement, and how busy the server and the processors of the load were; ``None`` if it failed."""
    pid, processors = way.process.pid, {machine.BACKEND, machine.LOAD}
    since, own = time.monotonic(), machine.busy_seconds(pid)
    before = {each: machine.processor_seconds(each) for each in processors}
    try:
        figures = case.measure(way.port, seconds)
    except BenchError as error:
        say(f"{case.key}, {way.server.name}: {error}")
        return None
    took = time.monotonic() - since
    figures["busy"] = (machine.busy_seconds(pid) - own) / took
    figures["load_busy"] = max(machine.processor_seconds(each) - before[each] for each in processors) / took
    return figures


def table(found: dict[str, Rounds], names: Sequence[str]) -> str:
    """The client's own figure without a gateway, and what is left of it through each."""
    peers = [name for name in names if name != DIRECT]
    compared = HAPROXY in names
    heads = ["", DIRECT, *(f"{name} of {DIRECT}" for name in peers)]
    table = [[*heads, f"{OURS} of {HAPROXY}", "at least", ""] if compared else heads]
    for case in (case for database in DATABASES for case in database.cases if case.key in found):
        rounds = found[case.key]
        for figure, title in case.titles.items():
            own = reporting.show(reporting.figures(rounds, DIRECT, figure), ",.0f")
            left = ((name, reporting.ratio(rounds, figure, DIRECT, name)) for name in peers)
            row = [
                title,
                own,
                *(reporting.show(each, ".2f") + reporting.mark(rounds, name) for name, each in left),
            ]
            if compared:
                ratio = reporting.ratio(rounds, figure, HAPROXY)
                verdict = reporting.met(ratio, case.at_least)
                row += [reporting.show(ratio, ".2f"), f"{case.at_least:.2f}", verdict]
            table.append(row)
    starred = [reporting.STARRED] if any("*" in cell for row in table for cell in row) else []
    return "\n\n".join([reporting.table(table), *starred, *reporting.faults(found)])


def chosen(keys: Sequence[str] | None) -> list[Database]:
    """The databases that are here, with the cases that were asked for; what is not here is named.

    :raises BenchError: when nothing is left.
    """
    found = []
    for database in DATABASES:
        if cases := tuple(case for case in database.cases if not keys or case.key in keys):
            if missing := [each for each in database.programs if not backends.find(each)]:
                say(f"left out, not installed: {', '.join(missing)} ({database.package})")
            else:
                found.append(replace(database, cases=cases))
    if not found:
        raise BenchError("nothing is left to measure")
    return found


def compare(args: argparse.Namespace, folder: Path) -> int:
    """Measure all databases, print the table, and give the status to end with."""
    if not shutil.which("taskset"):
        raise BenchError("taskset is needed; on Debian and Ubuntu: apt install util-linux")
    databases = chosen(args.case)
    kit = Kit(folder, sys.executable, machine.raise_file_limit())
    gateways = [server for server in relay_servers(kit) if server.name in (HAPROXY, OURS)]
    for gateway in gateways:
        if not gateway.argv:
            say(f"left out, not installed: {gateway.name} ({gateway.needs})")
    gateways = [gateway for gateway in gateways if gateway.argv]
    asking.warn()
    versions = (backends.version(each.programs[0]) for each in databases)
    described = ", ".join([machine.describe(sys.executable), *versions])
    head = f"{described}; {time.strftime('%B %Y')}, {asking.rounds_of(args.rounds, args.seconds)}."
    found: dict[str, Rounds] = {}
    for database in databases:
        found |= run(database, kit, gateways, args.rounds, args.seconds)
    text = f"{head}\n\n{table(found, [DIRECT, *(gateway.name for gateway in gateways)])}"
    print(text)
    if args.output:
        asking.write(args.output, text, {"machine": described, "seconds": args.seconds, "cases": found})
    failed = [key for key, rounds in found.items() if not any(rounds[OURS])]
    if failed:
        say(f"{OURS} failed in every round: {', '.join(failed)}")
    return 1 if failed else 0


def main() -> int:
    """Measure, print, and write it down."""
    args = questions().parse_args()
    if args.output:
        asking.writable(args.output)
    return asking.carry_out(lambda folder: compare(args, folder), "clients-")


if __name__ == "__main__":
    sys.exit(main())
