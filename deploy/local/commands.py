"""Run a short program and turn its failure into a sentence."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from deploy.local.errors import LocalError


def search_path() -> str:
    """PATH with the system's directories, which `su` without a login shell leaves out."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"])


def run(
    command: Sequence[str], *, seconds: float = 60, check: bool = True, text: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run to its end, output captured.

    Raises LocalError where the program is absent, takes longer than `seconds`, or (with `check`) fails.
    """
    try:
        done = subprocess.run(
            list(command),
            input=text,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env={**(environment or os.environ), "PATH": search_path()},
        )
    except FileNotFoundError as absent:
        raise LocalError(f"The program {command[0]} is not on this machine") from absent
    except subprocess.TimeoutExpired as late:
        raise LocalError(f"`{' '.join(command)}` did not end within {seconds:g} s") from late
    if check and done.returncode:
        raise LocalError(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()}")
    return done
