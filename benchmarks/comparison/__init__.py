"""Servers, measured side by side on the same work.

::

    machine    what runs here: processors, descriptors, versions, memory of a process
    servers    how each server is started: tcpsuite and its peers
    cases      what is measured, and what we hold ourselves to
    running    the rounds
    reporting  the tables
    backends   real databases, for what stands in front of them
    asking     the command lines of the scripts
"""


class BenchError(Exception):
    """Something cannot be measured; its text says what."""
