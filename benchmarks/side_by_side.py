#!/usr/bin/env python3
"""Measure tcpsuite against its peers on the same work, in one run, in turn, and print the ratios.

    python benchmarks/side_by_side.py echo
    python benchmarks/side_by_side.py relay

Without --ours it is the tcpsuite of this interpreter; --ours 'CMD with {port} and {backend}' measures any
other server, which CMD starts in the foreground on 127.0.0.1:{port}; a relay sends on to 127.0.0.1:{backend}.
The server is pinned to the first processor, the load (and a relay's backend) to the last.  Every round
measures each server once, one after the other, so that a drift of the machine meets all alike; the figure is
the median of the rounds, and the ratio is ours over the peer's, round by round.

It needs a C compiler.  Peers that are not installed are named and left out; what they come from (Debian):
golang-go, nodejs, haproxy, nginx-light with libnginx-mod-stream; (PyPI): uvloop, for --python.
Options: --rounds N (3), --seconds S (2), --only TEXT (only the peers whose name has it), --json FILE,
--python EXE for the Python peers (this interpreter).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = os.path.join(HERE, "peers")
CPUS = sorted(os.sched_getaffinity(0))
BACKEND = 17001

# name, what it is of, arguments of load
CASES = {
    "echo": [
        ("1 KiB x 50", "per_s", ["-c", "50", "-s", "1024"]),
        ("100 B x 50, 16 deep", "per_s", ["-c", "50", "-s", "100", "-d", "16"]),
        ("100 B x 1000", "per_s", ["-c", "1000", "-s", "100"]),
        ("64 KiB x 50", "mb_s", ["-c", "50", "-s", "65536"]),
        ("100 B x 1 (round trips)", "per_s", ["-c", "1", "-s", "100"]),
        ("connect, 100 B, close x 50", "per_s", ["-n", "-c", "50", "-s", "100"]),
    ],
    "relay": [
        ("1 KiB x 50", "per_s", ["-c", "50", "-s", "1024"]),
        ("100 B x 50, 16 deep", "per_s", ["-c", "50", "-s", "100", "-d", "16"]),
        ("100 B x 1000", "per_s", ["-c", "1000", "-s", "100"]),
        ("64 KiB x 50", "mb_s", ["-c", "50", "-s", "65536"]),
        ("connect, 100 B, close x 50", "per_s", ["-n", "-c", "50", "-s", "100"]),
    ],
}


def succeeds(command, env=None):
    """Whether the command ends well."""
    return subprocess.run(command, env=env, capture_output=True, check=False).returncode == 0


def build(scratch):
    """Compile what is in C and Go; return the paths of what could be built."""
    made = {}
    for name in ("load", "echo"):
        made[name] = os.path.join(scratch, name)
        subprocess.run(["gcc", "-O2", "-o", made[name], os.path.join(HERE, name + ".c")], check=True)
    if shutil.which("go"):
        env = dict(os.environ, GO111MODULE="off", GOFLAGS="", GOCACHE=os.path.join(scratch, "go"))
        path = os.path.join(scratch, "echo_go")
        if succeeds(["go", "build", "-o", path, os.path.join(PEERS, "echo.go")], env):
            made["echo_go"] = path
    return made


def peers(kind, made, scratch, python):
    """The peers of this kind as (name, command or None, environment)."""
    if kind == "echo":
        uvloop = succeeds([python, "-c", "import uvloop"])
        return [
            ("C epoll (limit)", made["echo"] + " {port}", {}),
            ("Go net", made["echo_go"] + " {port}" if "echo_go" in made else None, {}),
            ("uvloop", f"{python} {PEERS}/asyncio_echo.py {{port}} uvloop" if uvloop else None, {}),
            ("Node net", f"node {PEERS}/echo.js {{port}}" if shutil.which("node") else None, {}),
            ("asyncio", f"{python} {PEERS}/asyncio_echo.py {{port}}", {}),
            ("Twisted, stock", f"{python} {PEERS}/twisted_echo.py {{port}}", {}),
        ]
    haproxy = "haproxy -db -f " + PEERS if shutil.which("haproxy") else None
    ports = {"BIND_PORT": "{port}", "BACKEND_PORT": str(BACKEND)}
    nginx = os.path.exists("/usr/lib/nginx/modules/ngx_stream_module.so")
    return [
        ("HAProxy", haproxy and haproxy + "/haproxy.cfg", ports),
        ("HAProxy, 64 KiB buffers", haproxy and haproxy + "/haproxy-64k.cfg", ports),
        ("nginx stream", "nginx {nginx}" if nginx else None, {}),
        ("Twisted portforward", f"{python} {PEERS}/twisted_relay.py {{port}} {BACKEND}", {}),
    ]


OURS = """
[listener.bench]
endpoint = "tcp:{port}:interface=127.0.0.1:backlog=4096"
service = "{service}"
{upstream}
"""
UPSTREAM = """
upstream = "back"
[upstream.back]
servers = [{{ name = "back", address = "tcp:127.0.0.1:{backend}" }}]
health = {{ type = "none" }}
"""


def our_own(kind, port, scratch):
    """The command that starts this interpreter's tcpsuite for that kind of work."""
    path = os.path.join(scratch, f"tcpsuite-{port}.toml")
    upstream = UPSTREAM.format(backend=BACKEND) if kind == "relay" else ""
    service = "gateway" if kind == "relay" else "echo"
    with open(path, "w") as out:
        out.write(OURS.format(port=port, service=service, upstream=upstream))
    return f"{sys.executable} -m tcpsuite run --config {path}"


def nginx_config(scratch, port):
    with open(os.path.join(PEERS, "nginx.conf.in")) as source:
        text = source.read()
    for key, value in (("@DIR@", scratch), ("@BIND_PORT@", str(port)), ("@BACKEND_PORT@", str(BACKEND))):
        text = text.replace(key, value)
    path = os.path.join(scratch, f"nginx-{port}.conf")
    with open(path, "w") as out:
        out.write(text)
    return "-c " + path


def start(command, cpu, env=(), log=subprocess.DEVNULL):
    return subprocess.Popen(
        ["taskset", "-c", str(cpu), "sh", "-c", "exec " + command],
        stdout=log,
        stderr=log,
        env=dict(os.environ, **dict(env)),
        start_new_session=True,
    )


def wait_for(port, process, name, log):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    log.seek(0)
    sys.exit(f"{name} does not listen on port {port}:\n{log.read()[-2000:]}")


def stop(process):
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, sign)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            continue


def resident_mb(process):
    """Resident memory of the process and its children, in MB."""
    total = 0
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as children:
        pids = [process.pid, *map(int, children.read().split())]
    for pid in pids:
        with open(f"/proc/{pid}/status") as status:
            total += sum(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return total / 1000


def drive(made, port, arguments, seconds):
    command = [made["load"], "-p", str(port), "-t", str(seconds), *arguments]
    pinned = ["taskset", "-c", str(CPUS[-1]), *command]
    done = subprocess.run(pinned, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.startswith("{"):
        return None
    return json.loads(done.stdout)


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("kind", choices=CASES)
    ask.add_argument("--ours", help="command that starts your server; {port} and {backend} are filled in")
    ask.add_argument("--rounds", type=int, default=3)
    ask.add_argument("--seconds", type=float, default=2)
    ask.add_argument("--only", default="")
    ask.add_argument("--json")
    ask.add_argument("--python", default=sys.executable)
    args = ask.parse_args()

    scratch = tempfile.mkdtemp(prefix="side-by-side-")
    made = build(scratch)
    servers = [("ours", args.ours or "{ours}", {})]
    for name, command, env in peers(args.kind, made, scratch, args.python):
        if command is None:
            print(f"left out, not installed: {name}", file=sys.stderr)
        elif args.only in name or not args.only:
            servers.append((name, command, env))

    def launch(offset):
        name, command, env = servers[offset]
        port = 17010 + offset
        filled = command.replace("{nginx}", nginx_config(scratch, port) if "{nginx}" in command else "")
        filled = filled.replace("{ours}", our_own(args.kind, port, scratch) if "{ours}" in command else "")
        filled = filled.replace("{port}", str(port)).replace("{backend}", str(BACKEND))
        log = open(os.path.join(scratch, f"{port}.log"), "w+")  # noqa: SIM115
        process = start(filled, CPUS[0], {k: v.replace("{port}", str(port)) for k, v in env.items()}, log)
        running.append(process)
        wait_for(port, process, name, log)
        return port, process

    running, memory, results = [], {}, {}
    try:
        if args.kind == "relay":
            running.append(start(f"{made['echo']} {BACKEND}", CPUS[-1]))
        up = {offset: launch(offset) for offset in range(len(servers))}
        for case, unit, arguments in CASES[args.kind]:
            figures = {name: [] for name, _, _ in servers}
            # Connections that a relay leaves behind cost every other one ports: here one runs at a time.
            alone = args.kind == "relay" and "-n" in arguments
            if alone:
                memory = {servers[offset][0]: resident_mb(process) for offset, (_, process) in up.items()}
                for _, process in up.values():
                    stop(process)
                up = {}
            for _ in range(args.rounds):
                for offset, (name, _, _) in enumerate(servers):
                    port, process = launch(offset) if alone else up[offset]
                    got = drive(made, port, arguments, args.seconds)
                    figures[name].append(got[unit] if got else float("nan"))
                    if alone:
                        stop(process)
            results[case] = {"unit": unit, "figures": figures}
        memory = memory or {servers[offset][0]: resident_mb(process) for offset, (_, process) in up.items()}
    finally:
        for process in running:
            stop(process)
        shutil.rmtree(scratch, ignore_errors=True)

    width = max(len(name) for name, _, _ in servers) + 2
    for case, found in results.items():
        print(f"\n{case}   ({'messages or connections' if found['unit'] == 'per_s' else 'MB'} a second)")
        ours = found["figures"].get("ours")
        for name, values in found["figures"].items():
            line = f"  {name:<{width}}{statistics.median(values):>14,.0f}"
            if ours and name != "ours":
                ratios = [a / b for a, b in zip(ours, values, strict=True)]
                found.setdefault("ratios", {})[name] = statistics.median(ratios)
                line += (
                    f"    ours is {statistics.median(ratios):.2f}x  ({min(ratios):.2f} to {max(ratios):.2f})"
                )
            print(line)
    print("\nresident memory at the end, MB: " + ", ".join(f"{name} {mb:.0f}" for name, mb in memory.items()))
    if args.json:
        with open(args.json, "w") as out:
            json.dump(
                {"cases": results, "resident_mb": memory, "rounds": args.rounds, "seconds": args.seconds},
                out,
                indent=1,
            )


if __name__ == "__main__":
    main()
