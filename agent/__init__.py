"""The two agents of a middleware Pod: agent 1 runs the engine (``process``), agent 2 asks and changes it
(``tools``).

They run inside the engine's own image, so they stand on gRPC and the standard library alone and stay small in memory.
``document`` is what the platform says about the node, ``tooling`` carries out a plugin's declarative tools,
``serving`` is what both servers share (mutual TLS, caller's identity, health over plain HTTP).
"""

VERSION = "0.2.0"
"""The platform version that this agent came with; reported in ``ProcessStatus``."""
