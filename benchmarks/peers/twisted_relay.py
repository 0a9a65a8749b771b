"""Stock Twisted's own port forwarder.  usage: twisted_relay.py PORT BACKEND_PORT"""

import sys

from twisted.internet import epollreactor

epollreactor.install()
from twisted.internet import reactor  # noqa: E402
from twisted.protocols import portforward  # noqa: E402

factory = portforward.ProxyFactory("127.0.0.1", int(sys.argv[2]))
reactor.listenTCP(int(sys.argv[1]), factory, backlog=4096, interface="127.0.0.1")
reactor.run()
