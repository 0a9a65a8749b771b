#!/usr/bin/env python3
"""What is left behind by connections that came, were cut in every way, and went.

    python benchmarks/churned.py                          100,000 of them: five minutes
    python benchmarks/churned.py --connections 5000

Clients come to a process with all of its services: they finish, reset, half-close; are cut within a TLS
handshake or a request, by an operator, by a server that dies, by the time for a first byte, while they wait
for a server with room; they open sessions and vanish; limits refuse them in every way.  They come from ten
thousand addresses, and are counted, throttled and remembered by them.

When they are gone, and so is what they leave for a while, sessions and affinity, what is left is looked at.
The gauges of the metrics are to be what they were when the process had begun, open descriptors among them.
Objects, timers and resident memory are compared with what there was behind a warm-up of a tenth as many
connections; in it the threads that hash passwords have all done so, for the C library keeps 16 MiB for each,
and what is remembered of the admin pages' own connections is full.  Garbage is collected before each look.

It needs a C compiler, taskset and openssl.  What is printed is Markdown.  The status is 1 when something is
left.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from comparison import BenchError, asking, machine, reporting
from comparison.running import echoes, say, serving
from comparison.servers import Kit, Server
from comparison.ways import PASSWORD, USER, WAYS, Ports, go

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONNECTIONS = 100_000
WARM_UP = 0.1
AT_ONCE = 24
SETTLED = 60.0
"""Seconds in which all is to be back."""
MEMORY = 0.05
"""By so much of itself the resident memory may be more."""
FEW = 20
"""Objects of a kind, and timers, that may be more: what is on its way to the servers that are checked."""
REMEMBERED = 1000
"""Connections to the admin pages that are remembered."""
LOGINS = 100
ELSEWHERE = re.compile(r"process_(?!open_fds)|tcpsuite_(memory|reactor|build)|.*_longest_")
"""Gauges that tell of something else than what there is now."""
LISTENERS = ("echo", "gate", "full", "tls", "late", "files", "sessions", "close", "reset", "tarpit", "answer")
ON = 'endpoint = "tcp:{port}:interface=127.0.0.1:backlog=4096"'
CONFIG = """
state_directory = "{folder}/state"
drain_timeout = 0

[limits]
exempt_loopback = false
connections_per_ip = 1000
connection_rate = 1000000
message_rate = 1000000
connections_per_user = 100
bandwidth_per_connection = "1GB"
bandwidth_per_ip = "1GB"

[listener.echo]
{on_echo}
service = "echo"

[listener.gate]
{on_gate}
service = "gateway"
upstream = "back"
fin_timeout = "2s"

[listener.full]
{on_full}
service = "gateway"
upstream = "full"

[listener.tls]
endpoint = "ssl:{port_tls}:interface=127.0.0.1:privateKey={folder}/key.pem:certKey={folder}/cert.pem"
service = "echo"

[listener.late]
{on_late}
service = "echo"
first_byte_timeout = "100ms"

[listener.files]
{on_files}
service = "files"
root = "{folder}/root"

[listener.sessions]
{on_sessions}
service = "session"
anonymous = true

{refusing}

[upstream.back]
affinity = "ip"
affinity_timeout = "2s"
servers = [
  {{ name = "a", address = "tcp:127.0.0.1:{port_a}" }},
  {{ name = "b", address = "tcp:127.0.0.1:{port_b}" }},
]
[upstream.back.health]
interval = "500ms"
fast_interval = "200ms"
down_interval = "500ms"
ejection_time = "500ms"
max_ejection_time = "1s"

[upstream.full]
queue_timeout = "100ms"
servers = [{{ name = "a", address = "tcp:127.0.0.1:{port_a}", max_connections = 1 }}]
[upstream.full.health]
mode = "none"

[sessions]
store = "memory"
idle_timeout = "2s"
sweep_interval = "1s"
max_sessions = 100000

[auth]
passwords = "{folder}/passwords"
failures_per_minute = 1000

[admin]
endpoint = "tcp:{port_admin}:interface=127.0.0.1"
past_connections = 100

[access_log]
path = "{folder}/access.log"
"""
REFUSING = """
[listener.{way}]
endpoint = "tcp:{port}:interface=127.0.0.1:backlog=4096"
service = "{service}"
{root}
[listener.{way}.limits]
connection_rate = 0.001
connection_burst = 1
reject = "{way}"
tarpit_time = "100ms"
"""


def questions() -> argparse.ArgumentParser:
    """The options."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--connections", type=asking.whole, default=CONNECTIONS, help="how many (%(default)s)")
    return ask


def configured(folder: Path, ports: Mapping[str, int]) -> Server:
    """tcpsuite with all of its services, told to tell what lives in it."""
    (folder / "root").mkdir()
    (folder / "root" / "file").write_bytes(b"x" * 1000)
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem", "-days", "2", "-subj", "/CN=x"]
    try:
        subprocess.run(words, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchError(f"openssl is needed: {error}") from None
    told = [sys.executable, "-m", "tcpsuite", "passwd", str(folder / "passwords"), USER]
    subprocess.run(told, input=f"{PASSWORD}\n{PASSWORD}\n", text=True, check=True, capture_output=True)
    refusing = "\n".join(
        REFUSING.format(
            way=way,
            port=ports[way],
            service="files" if way == "answer" else "echo",
            root=f'root = "{folder}/root"' if way == "answer" else "",
        )
        for way in ("close", "reset", "tarpit", "answer")
    )
    plain = {f"on_{name}": ON.format(port=port) for name, port in ports.items()}
    named = {f"port_{name}": port for name, port in ports.items()}
    config = folder / "tcpsuite.toml"
    config.write_text(CONFIG.format(folder=folder, refusing=refusing, **plain, **named))
    argv = (sys.executable, "-m", "comparison.watched", str(config), str(folder / "census"))
    return Server("tcpsuite", argv)


class Watched:
    """A process that serves, looked at from outside.

    :param file: where it tells what lives in it.
    """

    def __init__(self, pid: int, admin: int, file: Path) -> None:
        self._pid = pid
        self._admin = f"http://127.0.0.1:{admin}"
        self._file = file

    def census(self) -> dict[str, Any]:
        """What lives in it."""
        self._file.unlink(missing_ok=True)
        os.kill(self._pid, signal.SIGUSR1)
        until = time.monotonic() + 30
        while not self._file.exists():
            if time.monotonic() > until:
                raise BenchError("the process does not tell what lives in it")
            time.sleep(0.02)
        told: dict[str, Any] = json.loads(self._file.read_text())
        return told

    def gauges(self) -> dict[str, float]:
        """The gauges of its metrics that tell of connections."""
        text = self._ask("/metrics").decode()
        kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
        samples = re.findall(r"^([a-z_]+)(\{.*\})? (\S+)$", text, re.MULTILINE)
        return {
            name + labels: float(value)
            for name, labels, value in samples
            if kinds.get(name) == "gauge" and not ELSEWHERE.match(name)
        }

    def status(self) -> dict[str, Any]:
        """What its page tells."""
        told: dict[str, Any] = json.loads(self._ask("/api/v1/status"))
        return told

    def kill(self, server: str) -> None:
        """Cut all connections to a server, as an operator does."""
        self._ask(f"/api/v1/server/{server}", b'{"kill_connections": true}')

    def fill(self) -> None:
        """Have as many of its own connections remembered as ever are."""
        for _ in range(REMEMBERED):
            self._ask("/healthz")

    def begun(self) -> dict[str, float]:
        """The gauges, once both servers are up, and who looked whether it serves is forgotten."""
        until = time.monotonic() + SETTLED
        while time.monotonic() < until:
            found = self.gauges()
            up = [value for name, value in found.items() if name.startswith("tcpsuite_server_up{")]
            if all(up) and not found['tcpsuite_affinity_entries{upstream="back"}']:
                return found
            time.sleep(0.2)
        raise BenchError("the process does not come to rest when it has begun")

    def settled(self, wanted: Mapping[str, float]) -> dict[str, float]:
        """The gauges, once they are as wanted, or when they have had their time to be."""
        until = time.monotonic() + SETTLED
        while (found := self.gauges()) != wanted and time.monotonic() < until:
            time.sleep(0.5)
        return found

    def _ask(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(
            self._admin + path, body, {"Content-Type": "application/json", "Connection": "close"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            data: bytes = answer.read()
            return data


class Trouble:
    """Cuts, as an operator, and has a server die and come back, between :meth:`begin` and :meth:`calm`.

    :param command: what starts the server.
    """

    def __init__(self, watched: Watched, command: list[str]) -> None:
        self._watched = watched
        self._command = command
        self._server: subprocess.Popen[bytes] | None = None
        self._over = Event()
        self._making: Thread | None = None
        self._live()

    def begin(self) -> None:
        """From now on."""
        self._over.clear()
        self._making = Thread(target=self._make)
        self._making.start()

    def calm(self) -> None:
        """No more; the server is there."""
        if self._making is not None:
            self._over.set()
            self._making.join()
            self._making = None
            self._live()

    def end(self) -> None:
        """No more; the server is not there."""
        self.calm()
        self._die()

    def _make(self) -> None:
        for turn in count():
            if turn % 5 == 4:
                self._die()
            else:
                self._live()
            with suppress(OSError):
                self._watched.kill("back/a")
            if self._over.wait(0.4):
                break

    def _live(self) -> None:
        if self._server is None:
            self._server = subprocess.Popen(self._command)

    def _die(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None


def log_in(ports: Ports) -> None:
    """Have as many log in at once as may, for a while."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        name = "session: logged in, and reset"
        list(pool.map(lambda each: go(name, ports, Random(each)), range(LOGINS)))


def churn(ports: Ports, number: int, seed: int) -> Counter[str]:
    """So many connections, in turn and at random, some at once: how many went which way."""
    names = list(WAYS)
    weights = [weight for weight, _ in WAYS.values()]

    def some(each: int) -> Counter[str]:
        chance = Random(each)
        chosen = chance.choices(names, weights, k=number // AT_ONCE)
        return Counter(name for name in chosen if go(name, ports, chance))

    with ports.connect("full", Random(0)), ThreadPoolExecutor(AT_ONCE) as pool:
        found: Counter[str] = Counter()
        for counted in pool.map(some, range(seed, seed + AT_ONCE)):
            found += counted
    return found


def compared(
    gauges: tuple[Mapping[str, float], Mapping[str, float]],
    lives: tuple[Mapping[str, Any], Mapping[str, Any]],
) -> Iterator[tuple[str, str, str, bool]]:
    """What there was, what there is, and whether that is right."""
    before, after = gauges
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name, 0.0), after.get(name, 0.0)
        if was != now:
            yield f"`{name}`", f"{was:g}", f"{now:g}", False
    yield "gauges", str(len(before)), f"{sum(after.get(n) == v for n, v in before.items())} the same", True
    warm, end = lives
    for kind in sorted(end["objects"]):
        was, now = warm["objects"].get(kind, 0), end["objects"][kind]
        if now > was + FEW:
            yield f"objects `{kind}`", f"{was:,}", f"{now:,}", False
    was, now = (sum(each["objects"].values()) for each in lives)
    yield "objects", f"{was:,}", f"{now:,}", True
    yield "timers", str(warm["timers"]), str(end["timers"]), end["timers"] <= warm["timers"] + FEW
    was, now = warm["resident"], end["resident"]
    fits = now <= was * (1 + MEMORY)
    yield "resident memory, MB", f"{was / 1e6:.1f}", f"{now / 1e6:.1f} ({now / was - 1:+.1%})", fits


def measure(number: int, folder: Path) -> int:
    """Let them come and go, print what is left, and give the status to end with."""
    kit = Kit(folder, sys.executable, machine.raise_file_limit())
    kit.build()
    ports = Ports({name: machine.free_port() for name in (*LISTENERS, "a", "b", "admin")})
    server = configured(folder, ports)
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    with ExitStack() as stay:
        backend = subprocess.Popen([kit.echo, str(ports["a"])])
        stay.callback(backend.wait)
        stay.callback(backend.kill)
        serves = lambda _: echoes(ports["gate"])  # noqa: E731
        started = stay.enter_context(serving(server, folder / "ours", {}, serves))
        watched = Watched(started.process.pid, ports["admin"], folder / "census")
        trouble = Trouble(watched, [kit.echo, str(ports["b"])])
        stay.callback(trouble.end)
        begun = watched.begun()
        trouble.begin()
        say(f"{int(number * WARM_UP):,} connections, the warm-up")
        watched.fill()
        log_in(ports)
        churn(ports, int(number * WARM_UP), 0)
        trouble.calm()
        watched.settled(begun)
        warm = watched.census()
        trouble.begin()
        say(f"{number:,} connections")
        since = time.monotonic()
        gone = churn(ports, number, AT_ONCE)
        took = time.monotonic() - since
        trouble.calm()
        after = watched.settled(begun)
        end = watched.census()
        ended: Counter[str] = Counter()
        for listener in watched.status()["listeners"]:
            ended.update(listener["totals"]["ended"])
    return report(gone, took, ended, list(compared((begun, after), (warm, end))))


def report(
    gone: Counter[str], took: float, ended: Counter[str], found: list[tuple[str, str, str, bool]]
) -> int:
    """Print it."""
    total, month = sum(gone.values()), time.strftime("%B %Y")
    print(f"{machine.describe(sys.executable)}; {month}, {total:,} connections in {took:.0f} s.")
    ways = ", ".join(f"{name} {number:,}" for name, number in sorted(gone.items()))
    reasons = ", ".join(f"{name} {number:,}" for name, number in sorted(ended.items()) if number)
    print(f"\nHow they went: {ways}.\n\nWhy they ended, with the warm-up: {reasons}.\n")
    rows = [["", "before", "behind them", ""]]
    rows += [[name, was, now, "met" if fine else "missed"] for name, was, now, fine in found]
    print(reporting.table(rows))
    return 0 if all(fine for *_, fine in found) else 1


def main() -> int:
    """Read the command line, and measure."""
    args = questions().parse_args()
    return asking.carry_out(lambda folder: measure(args.connections, folder), "churned-")


if __name__ == "__main__":
    sys.exit(main())
