"""How connections come, are cut, and go: each way makes one, as a client would."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    Way = Callable[["Ports", Random], None]

HELLO = bytes.fromhex("16030100c8010000c40303")
"""How a ClientHello begins."""
PATIENCE = 10.0
MUCH = 1 << 20
USER, PASSWORD = "ann", "correct horse"


class Ports(dict[str, int]):
    """The port of each listener."""

    def connect(self, name: str, chance: Random | None = None) -> socket.socket:
        """A connection to one, from one of ten thousand addresses, or from the only one of its kind."""
        made = socket.socket()
        made.settimeout(PATIENCE)
        try:
            if chance is None:
                made.bind(("127.4.0.1", 0))
            else:
                made.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
                made.bind((f"127.3.{chance.randrange(100)}.{chance.randrange(1, 101)}", 0))
            made.connect(("127.0.0.1", self[name]))
        except BaseException:
            made.close()
            raise
        return made


def reset(client: socket.socket) -> None:
    """End it with a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def rest(client: socket.socket) -> bytes:
    """All that comes up to the end."""
    found = b""
    while data := client.recv(65536):
        found += data
    return found


def fin(name: str) -> Way:
    """Says something, hears it, and finishes."""

    def way(ports: Ports, chance: Random) -> None:
        with ports.connect(name, chance) as client:
            client.sendall(b"x" * 100)
            client.recv(100)

    return way


def cut(name: str) -> Way:
    """Says something, hears it, and resets."""

    def way(ports: Ports, chance: Random) -> None:
        client = ports.connect(name, chance)
        with suppress(OSError):
            client.sendall(b"x" * 100)
            client.recv(100)
        reset(client)

    return way


def half(name: str) -> Way:
    """Says something, finishes its half, and hears all of it."""

    def way(ports: Ports, chance: Random) -> None:
        with ports.connect(name, chance) as client:
            client.sendall(b"x" * 10_000)
            client.shutdown(socket.SHUT_WR)
            rest(client)

    return way


def silent(name: str) -> Way:
    """Says nothing, and goes."""

    def way(ports: Ports, chance: Random) -> None:
        ports.connect(name, chance).close()

    return way


def unread(name: str) -> Way:
    """Sends much, reads nothing of it, and resets."""

    def way(ports: Ports, chance: Random) -> None:
        client = ports.connect(name, chance)
        client.settimeout(0.05)
        with suppress(OSError):
            client.sendall(b"x" * MUCH)
        reset(client)

    return way


def says(name: str, words: bytes, answers: int = 0) -> Way:
    """Says some words, hears so many lines, and resets."""

    def way(ports: Ports, chance: Random) -> None:
        client = ports.connect(name, chance)
        with suppress(OSError):
            client.sendall(words)
            heard = b""
            while heard.count(b"\n") < answers and (data := client.recv(4096)):
                heard += data
        reset(client)

    return way


def shaken(ports: Ports, chance: Random) -> None:
    """Shakes hands over TLS, says something, and finishes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(ports.connect("tls", chance)) as client:
        client.sendall(b"x" * 100)
        client.recv(100)


def waits(name: str, seconds: float) -> Way:
    """Waits to be cut, and goes when it is not."""

    def way(ports: Ports, chance: Random) -> None:
        with ports.connect(name, chance) as client:
            client.settimeout(seconds)
            with suppress(TimeoutError):
                rest(client)

    return way


def held(ports: Ports, chance: Random) -> None:
    """Says something through the gateway, and is there while an operator cuts what is."""
    with ports.connect("gate", chance) as client:
        client.sendall(b"x")
        client.recv(1)
        client.settimeout(0.5)
        with suppress(TimeoutError):
            rest(client)


def refused(name: str) -> Way:
    """Comes too often."""

    def way(ports: Ports, chance: Random) -> None:
        with ports.connect(name) as client:
            rest(client)

    return way


WAYS: dict[str, tuple[int, Way]] = {
    "echo: FIN": (120, fin("echo")),
    "echo: reset": (120, cut("echo")),
    "echo: half-closed": (80, half("echo")),
    "echo: not a byte": (60, silent("echo")),
    "echo: answers not read": (5, unread("echo")),
    "gateway: FIN": (120, fin("gate")),
    "gateway: reset": (120, cut("gate")),
    "gateway: half-closed": (80, half("gate")),
    "gateway: not a byte": (60, silent("gate")),
    "gateway: answers not read": (5, unread("gate")),
    "gateway: cut by an operator": (3, held),
    "gateway: waits for a server with room": (4, waits("full", 1.0)),
    "TLS: within the handshake": (30, says("tls", HELLO)),
    "TLS: nonsense": (10, says("tls", b"GET / HTTP/1.0\r\n\r\n")),
    "TLS: FIN": (5, shaken),
    "silent past its time": (3, waits("late", 1.0)),
    "HTTP: within the request": (20, says("files", b"GET / HTTP/1.1\r\nHo")),
    "HTTP: behind the answer": (10, says("files", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 5)),
    "session: opened, and reset": (30, says("sessions", b"OPEN\nSET a b\n", 2)),
    "session: within a request": (20, says("sessions", b"OPEN\nSET a", 1)),
    "session: logged in, and reset": (1, says("sessions", f"LOGIN {USER} {PASSWORD}\nOPEN\n".encode(), 2)),
    "refused: closed": (40, refused("close")),
    "refused: reset": (40, refused("reset")),
    "refused: held": (10, refused("tarpit")),
    "refused: answered": (20, refused("answer")),
}
"""Each way, and how often it is among a thousand."""


def go(name: str, ports: Ports, chance: Random) -> bool:
    """Go one way: whether it went as it does when nothing else is in its way, as a server that dies."""
    try:
        WAYS[name][1](ports, chance)
    except ConnectionResetError:
        return True
    except OSError:
        time.sleep(0.01)
        return False
    return True
