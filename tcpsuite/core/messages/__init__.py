"""Messages on a stream, and what is said in them.

::

    framing   a message is a length and its bytes
    wire      the messages of the message service: requests, replies, errors, cancels, notes
    outbox    what waits while there is no connection, or it is full
    repeats   the answers that are kept for who asks the same once more
    back_off  when to connect again

``docs/messages.md`` has the wire on one page.
"""
