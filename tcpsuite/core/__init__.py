"""Decides.  Bytes, numbers and ``now`` go in; events and decisions come out.

Nothing here imports Twisted, opens a socket, reads a clock or rolls a die: chance and time are arguments, so
every race is a test with a number for ``now``.
"""
