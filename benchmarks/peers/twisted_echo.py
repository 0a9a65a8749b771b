"""A bare Twisted factory: no limits, no log, no records.  usage: twisted_echo.py PORT [tcpsuite]

On the stock epoll reactor and its transports, or on tcpsuite's.
"""

import sys

if "tcpsuite" in sys.argv:
    from tcpsuite.net.reactor import install
else:
    from twisted.internet.epollreactor import install

install()
from twisted.internet import protocol, reactor  # noqa: E402


class Echo(protocol.Protocol):
    def connectionMade(self):
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data):
        self.transport.write(data)


reactor.listenTCP(int(sys.argv[1]), protocol.Factory.forProtocol(Echo), backlog=4096, interface="127.0.0.1")
reactor.run()
