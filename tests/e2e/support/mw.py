"""The command line, as an operator uses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from deploy.local.instance import Instance

REPOSITORY = Path(__file__).resolve().parents[3]


def mw(instance: Instance, *arguments: str, codes: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
    """AssertionError with what it said where it ends with another exit code than ``codes``."""
    paths = instance.paths
    environment = {
        "PATH": f"{paths.bin}:/usr/bin:/bin",
        "TEMPORAL_ADDRESS": instance.temporal_address,
        "KUBECONFIG": str(paths.kubeconfig),
        "COLUMNS": "200",
        "KUBECACHEDIR": str(paths.state / "kubectl-cache"),  # or kubectl, without a home, writes into the clone
    }
    command = [sys.executable, "-m", "cli", *arguments]
    found = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert found.returncode in codes, f"{' '.join(arguments)}: {found.returncode} {found.stdout} {found.stderr}"
    return found
