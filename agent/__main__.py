"""``python -m agent manager`` is agent 1 (PID 1 of the engine's container), ``python -m agent tools`` is agent 2;
``python -m agent tool NAME`` asks agent 2 to run one tool (``mw tool``)."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable


def main() -> int:
    """Runs one agent until it is told to end; the exit status is the container's."""
    # asyncio and hashlib load OpenSSL where they find it: over 3 MiB per agent for what gRPC and Python bring anyway.
    for module in ("ssl", "_hashlib"):
        sys.modules[module] = None  # type: ignore[assignment]
    run: Callable[[], int]
    gc.disable()  # nothing of what is imported is ever garbage
    match sys.argv[1:]:
        case ["manager"]:
            from agent.process.main import run
        case ["tools"]:
            from agent.tools.main import run
        case ["tool", *_]:
            from agent.tools.by_hand import run
        case _:
            sys.stderr.write("usage: agent manager | agent tools | agent tool NAME [--trace[=full]] [NAME=VALUE ...]\n")
            return 2
    gc.enable()
    return run()


if __name__ == "__main__":
    sys.exit(main())
