"""Stock Twisted: the epoll reactor and its own transports.  usage: twisted_echo.py PORT [eager-burst]"""

import sys

from twisted.internet import epollreactor

epollreactor.install()
from twisted.internet import protocol, reactor  # noqa: E402


class Echo(protocol.Protocol):
    def connectionMade(self):
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data):
        self.transport.write(data)


reactor.listenTCP(int(sys.argv[1]), protocol.Factory.forProtocol(Echo), backlog=4096, interface="127.0.0.1")
reactor.run()
