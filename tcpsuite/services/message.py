"""The message service: methods that clients ask by name, any number at once on one stream.

The wire is in ``docs/messages.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from tcpsuite.core.messages.framing import MAX_MESSAGE
from tcpsuite.core.messages.repeats import SECONDS, Repeats
from tcpsuite.core.messages.wire import refusal
from tcpsuite.errors import RemoteError
from tcpsuite.net.heap import keep_blocks
from tcpsuite.options import Duration, Provider, Size, at_least, between, option
from tcpsuite.services.calling import Caller
from tcpsuite.services.methods import Methods, check_methods
from tcpsuite.services.patience import IDLE, MAX_REQUESTS_IN_HAND, READ_TIMEOUT, WRITE, WRITE_TIMEOUT

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IProtocolFactory
    from twisted.python.failure import Failure

    from tcpsuite.interfaces import IServiceContext
    from tcpsuite.net.deadlines import Deadlines
    from tcpsuite.net.limiting import ServiceLimits


@frozen
class MessageOptions:
    """What a listener with ``service = "message"`` may say."""

    methods: Mapping[str, Provider] = option(
        {},
        "Methods of yours, by name, each a module:attribute; echo, discard, generate, time and stats are "
        "there without.",
        check=check_methods,
    )
    max_message: Size = option(
        Size(MAX_MESSAGE), "The longest message that a client may send.", check=between(1024, 2**31, "bytes")
    )
    max_requests_in_hand: int = option(
        MAX_REQUESTS_IN_HAND,
        "Requests of one stream that may be under way; past it each is refused; 0: no limit.",
        check=at_least(0),
    )
    repeat_window: Duration = option(
        Duration(SECONDS),
        "The answer to a request that its client may repeat is kept for so long, and given again instead of "
        "asking the method twice.",
        check=between(1, 86_400, "seconds"),
    )
    read_timeout: Duration = option(
        READ_TIMEOUT,
        "A client whose message is not complete so long after its first byte is cut, 1 s later for each KiB "
        "that has come; 0: never.",
        check=between(0, 86_400, "seconds"),
    )
    write_timeout: Duration = option(WRITE_TIMEOUT, WRITE, check=between(0, 86_400, "seconds"))
    idle_timeout: Duration = option(Duration(600.0), IDLE, check=between(0, 31_536_000, "seconds"))


class MessageFactory(Factory):
    """The message service of one listener.

    :param deadlines: keeps its time-outs.
    :param limits: asked for each request; ``None`` for no limits.
    :ivar callers: the streams that there are.
    :ivar lost_notes: notes that could not be taken: nobody is told.
    """

    noisy = False
    log = Logger()

    def __init__(
        self, options: MessageOptions, deadlines: Deadlines, limits: ServiceLimits | None = None
    ) -> None:
        self.methods = Methods(options.methods)
        self.max_message = options.max_message
        self.most = options.max_requests_in_hand
        self.read_timeout = options.read_timeout
        self.repeats = Repeats(options.repeat_window)
        self.deadlines = deadlines
        self.limits = limits
        self.callers: set[Caller] = set()
        self.lost_notes = 0

    def __repr__(self) -> str:
        return f"<MessageFactory {self.methods!r} callers={len(self.callers)}>"

    def buildProtocol(self, addr: IAddress | None) -> Caller:
        """One stream."""
        return Caller(self)

    def stopFactory(self) -> None:
        """The last port was closed: who is connected is to go elsewhere."""
        for caller in tuple(self.callers):
            caller.leave()

    def stats(self) -> dict[str, Any]:
        """What it has done."""
        return {
            "methods": self.methods.counts(),
            "streams": len(self.callers),
            "under_way": sum(map(len, self.callers)),
            "lost_notes": self.lost_notes,
            "repeated": self.repeats.repeated,
            "answers_kept": len(self.repeats),
        }

    def refusal_of(self, number: int, failure: Failure) -> bytes:
        """The answer to a request whose method failed; the log has what is our own fault."""
        error = failure.value
        if isinstance(error, RemoteError):
            return refusal(number, getattr(error, "code", "failed"), str(error))
        self.log.failure("a method failed by its own fault", failure)
        return refusal(number, "internal", "the method failed; the log of its server says why")


def build(options: MessageOptions, context: IServiceContext) -> IProtocolFactory:
    """The factory for a listener."""
    keep_blocks()
    return MessageFactory(options, context.deadlines, context.limits)


def example(options: MessageOptions, host: str, port: int) -> str:
    """A command line that tries it."""
    return f"tcpsuite call {host}:{port} echo hello"
