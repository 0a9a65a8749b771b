"""What tcpsuite adds to Twisted.  It runs at every ``twistd --help``: nothing is imported before its use."""

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

from tcpsuite.plugin import ClientEndpointPrefix, EndpointPrefix, ServiceType

tcpsuite = ServiceMaker(
    "tcpsuite",
    "tcpsuite.tap",
    "A TCP gateway and service host: balancing, limits, health checks, echo, files, sessions.",
    "tcpsuite",
)

reactor = Reactor(
    "tcpsuite",
    "tcpsuite.net.reactor",
    "tcpsuite: the epoll reactor, leaner, with transports that write through.",
)

echo = ServiceType("echo", "what comes goes back", "tcpsuite.services.echo", "EchoOptions")
files = ServiceType(
    "files",
    "a directory over HTTP or over lines",
    "tcpsuite.services.files",
    "FilesOptions",
    descriptors=2,
)
session = ServiceType(
    "session",
    "keys and values under an id that outlives its connection",
    "tcpsuite.services.session",
    "SessionOptions",
)
message = ServiceType(
    "message",
    "methods of yours, asked in messages",
    "tcpsuite.services.message",
    "MessageOptions",
)
gateway = ServiceType(
    "gateway",
    "connections to the servers of an upstream",
    "tcpsuite.services.gateway",
    "GatewayOptions",
    descriptors=2,
)

endpoint = EndpointPrefix("tcpsuite", "tcpsuite.net.tuned")
mux_server = EndpointPrefix("mux", "tcpsuite.net.mux.endpoints")
mux_client = ClientEndpointPrefix("mux", "tcpsuite.net.mux.endpoints")
