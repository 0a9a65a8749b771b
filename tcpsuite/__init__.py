"""tcpsuite: a TCP gateway and service host on Twisted.

The folders are layers, and imports run downward only (a contract in ``pyproject.toml`` proves it):

====================  =====  ===============================================================
``cli``, ``tap``      6      the ``tcpsuite`` command; twistd's options
``app``, ``testing``  5      where everything meets; fakes and contract checks for providers
``config``, ``admin`` 4      the configuration file; looking in from outside
``services``          3      what a listener serves: plain factories
``net``, ``stores``   2      acts: sockets, timers, threads, files
``core``              1      decides: bytes, numbers and ``now`` in, decisions out
``interfaces``,       0      the promises between the parts; the words of configuration;
``options``,                 the errors
``errors``
====================  =====  ===============================================================

Pairs rhyme: ``core/pooling`` decides, ``net/pool`` acts.
"""

__version__ = "0.1.0"
