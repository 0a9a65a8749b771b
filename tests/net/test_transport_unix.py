"""Descriptors beside the bytes of a UNIX connection, as on stock Twisted."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

import pytest
from twisted.internet.interfaces import IFileDescriptorReceiver
from zope.interface import implementer

from tests.support.stage import Actor


@implementer(IFileDescriptorReceiver)
class Taker(Actor):
    """A protocol that takes descriptors."""

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """Tell what it is of, and close it."""
        self.stage.tell(self.name, "given", os.readlink(f"/proc/self/fd/{descriptor}"))
        os.close(descriptor)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """A UNIX socket has its place in the test's folder."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("place", ["a read", "a timer"])
def test_a_descriptor_is_sent_with_the_bytes(same, place):
    """It goes with a byte of what is written beside it, and all bytes are there, in order, and counted."""

    def scene(stage):
        def deed(*_):
            actor.transport.write(b"one")
            actor.transport.sendFileDescriptor(null.fileno())
            actor.transport.write(b"two")

        actor = Actor(stage, "it", dataReceived=deed)
        peer = stage.meet(actor, "a.sock")
        peer.reading = False
        peer.send(b"go") if place == "a read" else stage.reactor.callLater(0, deed)
        received, given = b"", []

        def complete():
            nonlocal received
            with suppress(BlockingIOError):
                data, descriptors, _, _ = socket.recv_fds(peer.socket, 100, 10)
                received += data
                given.extend(descriptors)
            return received == b"onetwo"

        with open(os.devnull) as null:
            stage.until(complete)
        names = [os.readlink(f"/proc/self/fd/{descriptor}") for descriptor in given]
        for descriptor in given:
            os.close(descriptor)
        return names, getattr(actor.transport, "bytes_out", 6)

    assert same(scene) == (([os.devnull], 6), [])


@pytest.mark.parametrize("kind", [Taker, Actor])
def test_a_descriptor_is_received_before_the_bytes(same, kind):
    """A protocol that takes descriptors gets it first; for another one it is closed."""

    def scene(stage):
        actor = kind(stage, "it")
        peer = stage.meet(actor, "a.sock")
        with open(os.devnull) as null:
            socket.send_fds(peer.socket, [b"bytes"], [null.fileno()])
            stage.until(lambda: stage.told[-1][1] == "heard")
        return stage.told

    given = [("it", "given", os.devnull)] if kind is Taker else []
    assert same(scene) == ([("it", "made"), *given, ("it", "heard", b"bytes")], [])
