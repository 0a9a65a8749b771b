"""Many streams on one connection, as yamux version 0 has them.

::

    frames   the header: its types, flags and codes
    stream   what one stream is: its windows, what waits to be sent, how far it has come
    events   what is told of it, and the limits
    mux      all of them on one connection: bytes in, events out; what is written in, bytes out

The specification is ``spec.md`` of github.com/hashicorp/yamux; ``docs/mux.md`` says what goes beyond it.
"""
