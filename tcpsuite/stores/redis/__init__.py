"""What several machines share: kept in Redis, or Valkey, by txredisapi.

That speaks the protocol.  Connections are kept here, for its own pool gives up for good when a password is
refused or a server is still loading, waits for ever while there is no server, and its Sentinel knows no TLS.
"""
