"""A relay on the way to a suite, which cuts what it carries."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

_RESET = struct.pack("ii", 1, 0)
_READ = 64 * 1024


class Cutter:
    """Relays each connection that it takes on a port of loopback, until it cuts them.  Use it as a context.

    :param port: where it leads.
    :param cuts: after so many bytes, both ways of all connections together, all of them are reset: in the
        middle of what was read, the rest of that is gone.
    :ivar port: where it listens.
    :ivar away: resets who comes, while this is set.
    :ivar made: how often it has reset what it carried.
    """

    def __init__(self, port: int, cuts: Iterable[int] = ()) -> None:
        self.away = False
        self.made = 0
        self._to = port
        self._cuts = deque(sorted(cuts))
        self._passed = 0
        self._cut_now = self._cut_one = self._over = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._events = selectors.DefaultSelector()
        self._events.register(self._listening, selectors.EVENT_READ)
        self._bell, self._ear = socket.socketpair()
        self._events.register(self._ear, selectors.EVENT_READ)
        self._others: dict[socket.socket, socket.socket] = {}
        self._waiting: dict[socket.socket, bytes] = {}
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._bell.send(b"!")
        self._thread.join()
        self._cut()
        self._events.close()
        for each in (self._listening, self._bell, self._ear):
            each.close()

    @property
    def left(self) -> int:
        """Cuts that are still to be made."""
        return len(self._cuts)

    def has_cut(self, times: int) -> bool:
        """Whether it has reset what it carried so often, or oftener."""
        return self.made >= times

    def cut(self) -> None:
        """Reset all connections, soon."""
        self._cut_now = True
        self._bell.send(b"!")

    def cut_oldest(self) -> None:
        """Reset the oldest connection, soon; the others go on."""
        self._cut_one = True
        self._bell.send(b"!")

    def _run(self) -> None:
        while not self._over:
            for key, events in self._events.select():
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock is self._ear:
                    sock.recv(100)
                elif sock is self._listening:
                    self._accept()
                elif sock in self._others:  # not cut a moment ago
                    self._carry(sock, events)
            if self._cut_now:
                self._cut_now = False
                self._cut()
            if self._cut_one:
                self._cut_one = False
                self.made += 1
                self._close(next(iter(self._others)))

    def _accept(self) -> None:
        near, _ = self._listening.accept()
        try:
            if self.away:
                raise ConnectionRefusedError
            far = socket.create_connection(("127.0.0.1", self._to))
        except OSError:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            near.close()
            return
        for one, other in ((near, far), (far, near)):
            one.setblocking(False)
            self._others[one] = other
            self._waiting[one] = b""
            self._events.register(one, selectors.EVENT_READ)

    def _carry(self, sock: socket.socket, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                self._send(sock, b"")
            if events & selectors.EVENT_READ and not self._waiting[self._others[sock]]:
                data = sock.recv(_READ)
                if not data:
                    raise ConnectionResetError
                self._send(self._others[sock], self._up_to_cut(data))
        except BlockingIOError:
            pass
        except OSError:
            self._close(sock)

    def _up_to_cut(self, data: bytes) -> bytes:
        if self._cuts and self._passed + len(data) >= self._cuts[0]:
            data = data[: self._cuts.popleft() - self._passed]
            self._cut_now = True
        self._passed += len(data)
        return data

    def _send(self, sock: socket.socket, data: bytes) -> None:
        data = self._waiting[sock] + data
        sent = 0
        with suppress(BlockingIOError):
            sent = sock.send(data)
        self._waiting[sock] = data[sent:]
        # Who cannot be written to now need not be read for.
        full = bool(self._waiting[sock])
        self._watch(sock, full, not self._waiting[self._others[sock]])
        self._watch(self._others[sock], bool(self._waiting[self._others[sock]]), not full)

    def _watch(self, sock: socket.socket, write: bool, read: bool) -> None:
        events = selectors.EVENT_WRITE * write | selectors.EVENT_READ * read
        if sock in self._events.get_map():
            self._events.unregister(sock)
        if events:
            self._events.register(sock, events)

    def _close(self, sock: socket.socket) -> None:
        for each in (sock, self._others[sock]):
            if each in self._events.get_map():
                self._events.unregister(each)
            del self._others[each], self._waiting[each]
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            each.close()

    def _cut(self) -> None:
        self.made += bool(self._others)
        while self._others:
            self._close(next(iter(self._others)))
