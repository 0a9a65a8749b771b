"""What a pool of connections to one server does next.

A state is told what happens and answers with decisions, which its owner carries out in order.  Connections
and takers (those who want one) are numbers: the state gives a connection its number in :class:`Connect`, the
owner gives a taker its own.  What is decided is marked in the same step: a leased connection is leased before
anybody else can see it idle.

:class:`SingleUse` lends each connection once, for good.  :class:`Reuse` takes them back and lends them again.
"""

from tcpsuite.core.pooling.backing_off import BackOff as BackOff
from tcpsuite.core.pooling.decisions import EVICTIONS as EVICTIONS
from tcpsuite.core.pooling.decisions import Close as Close
from tcpsuite.core.pooling.decisions import Connect as Connect
from tcpsuite.core.pooling.decisions import Decision as Decision
from tcpsuite.core.pooling.decisions import End as End
from tcpsuite.core.pooling.decisions import Lease as Lease
from tcpsuite.core.pooling.decisions import Refusal as Refusal
from tcpsuite.core.pooling.decisions import Reject as Reject
from tcpsuite.core.pooling.decisions import Reset as Reset
from tcpsuite.core.pooling.decisions import Validate as Validate
from tcpsuite.core.pooling.decisions import Warn as Warn
from tcpsuite.core.pooling.reuse import Reuse as Reuse
from tcpsuite.core.pooling.settings import PRESETS as PRESETS
from tcpsuite.core.pooling.settings import PoolSettings as PoolSettings
from tcpsuite.core.pooling.settings import Problem as Problem
from tcpsuite.core.pooling.settings import problems as problems
from tcpsuite.core.pooling.settings import recommended_size as recommended_size
from tcpsuite.core.pooling.single_use import SingleUse as SingleUse
