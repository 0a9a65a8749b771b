"""The client of the message service.

::

    from tcpsuite.net.client import connect

    client = await connect("mux:tcp:127.0.0.1:7070")
    answer = await client.request("echo", b"hello")

``docs/messages.md`` tells of it.
"""

from tcpsuite.core.messages.outbox import WhenFull
from tcpsuite.net.client.blocking import BlockingClient
from tcpsuite.net.client.client import Client
from tcpsuite.net.client.connect import connect
from tcpsuite.net.client.options import ClientOptions

__all__ = ["BlockingClient", "Client", "ClientOptions", "WhenFull", "connect"]
