"""Which ports the kernel may take for the connections that a Pod opens: none on which its agents or, as the plugin
declares, its engine listen.

It takes them of 32768 to 60999, where the agents' own lie and maybe some of the engine's. While a connection has one,
nobody can listen there: a Sentinel had connected before its agent 2 began, one of the connections had the port of that,
and agent 2 ended again and again for as long as the connection lived. ``ip_local_port_range`` is a setting that any
kubelet lets a Pod have (safe since Kubernetes 1.4; ``ip_local_reserved_ports`` only since 1.27).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

FIRST, LAST = 32768, 60999
"""Linux's own default, which each new network namespace begins with."""


def local_port_range(listening: Iterable[int]) -> str:
    """The widest part of the default without ``listening``, as the kernel reads it: two numbers."""
    taken = sorted({port for port in listening if FIRST <= port <= LAST})
    between = pairwise([FIRST - 1, *taken, LAST + 1])
    low, high = max(((one + 1, other - 1) for one, other in between), key=lambda part: part[1] - part[0])
    return f"{low} {high - (high - low + 1) % 2}"  # an even number of them: of an odd one the kernel warns in its log
