"""Connections that last, and the carriers that come and go.

Both halves of an attached connection are made of the same two parts: what lasts is an ``Attached``, the
connection to a server at the suite's half, to a program at the client's; what carries its bytes between the
halves is a ``Carrier``, of which it has one or none.  What arrives, and what is sent again, is decided in
:mod:`tcpsuite.core.attaching`.

::

    attached       what lasts
    carriers       what carries it, in frames
    raw_carrier    or without

    attachments    the suite's half: what sessions are attached to
    server_end     the end of it towards a server

    client         the client's half
    program        the end of it towards a program
    link           a connection to the suite
    succession     of programs that share a session
"""
