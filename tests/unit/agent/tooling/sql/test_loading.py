"""A node whose tools ask no database carries nothing of it."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys
import agent.tools.service, agent.tooling.interpreter
print([name for name in ("mysql", "postgresql", "scram") if f"agent.tooling.protocols.{name}" in sys.modules])
"""


def test_a_protocol_is_loaded_by_the_first_step_that_speaks_it() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
