"""Run a short program and turn its failure into a sentence."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from deploy.local.errors import LocalError


def run(
    command: Sequence[str], *, seconds: float = 60, check: bool = True, text: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run to its end, output captured.

    Raises LocalError where the program is absent, takes longer than `seconds`, or (with `check`) fails.
    """
    try:
        done = subprocess.run(
            list(command), input=text, capture_output=True, text=True, timeout=seconds, check=False, env=environment
        )
    except FileNotFoundError as absent:
        raise LocalError(f"The program {command[0]} is not on this machine") from absent
    except subprocess.TimeoutExpired as late:
        raise LocalError(f"`{' '.join(command)}` did not end within {seconds:g} s") from late
    if check and done.returncode:
        raise LocalError(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()}")
    return done
