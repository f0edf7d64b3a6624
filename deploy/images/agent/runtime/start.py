"""First code of the agent's process: gives the environment back, then runs `python -m agent`.

asyncio loads OpenSSL (4.6 MB resident in each agent) for a TLS of its own, which nobody here uses: gRPC brings its own.
So it is made to start without it; `import ssl` works afterwards, asyncio's `ssl=` arguments do not.

The launcher hides the variables by which the image's author steers the image's own C library (LD_PRELOAD and the like)
from our loader, and sets one for our allocator. The engine that the agent starts must see exactly what the image set.
"""

import os
import runpy
import sys

KEEP = "MIDDLEWARE_AGENT_KEEP_"

os.environ.pop("MALLOC_ARENA_MAX", None)
for name in [name for name in os.environ if name.startswith(KEEP)]:
    os.environ[name.removeprefix(KEEP)] = os.environ.pop(name)

sys.modules["ssl"] = None  # type: ignore[assignment]  # how the import system spells "cannot be imported"
import asyncio  # noqa: E402, F401

del sys.modules["ssl"]

runpy.run_module("agent", run_name="__main__", alter_sys=True)
