"""How each command meets cluster and person: which kubeconfig, errors as one sentence, exit codes.

Exit codes: 0 done, 1 failed (the sentence says why), 2 wrong usage, 3 the App that was asked about is not Ready, 4 ``mw
render`` found a difference, 130 interrupted.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import typer
from kubernetes.aio.config import ConfigException
from rich.console import Console
from rich.markup import escape
from temporalio.service import RPCError

from clients.errors import KubernetesError
from clients.kubernetes import Kubernetes

T = TypeVar("T")

EXIT_FAILED, EXIT_NOT_READY, EXIT_DIFFERENT, EXIT_INTERRUPTED = 1, 3, 4, 130
EMBEDDED_STATE = "/var/lib/middleware-platform"
EMBEDDED_DEFAULT = "default"

output = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
"""Into a file or pipe as wide as the tables want: nobody greps in wrapped lines."""
errors = Console(stderr=True, highlight=False)


class CommandError(Exception):
    """A sentence for the person at the terminal."""


def embedded_state(instance: str = EMBEDDED_DEFAULT) -> Path:
    """State directory of an embedded instance; ``MW_STATE`` overrides it, as it does for ``make up``."""
    return Path(os.environ.get("MW_STATE") or f"{EMBEDDED_STATE}/{instance}")


def kubeconfig_path(given: str | None) -> str | None:
    """``--kubeconfig``, else KUBECONFIG, else ``~/.kube/config``, else the embedded cluster's, if there is one."""
    if given:
        return given
    if os.environ.get("KUBECONFIG"):
        return os.environ["KUBECONFIG"]
    for path in (Path.home() / ".kube" / "config", embedded_state() / "kubeconfig"):
        if path.exists():
            return str(path)
    return None


def fail(message: str) -> NoReturn:
    """Ends the command with the sentence on stderr."""
    errors.print(f"[red]Error:[/red] {escape(message)}", soft_wrap=True)
    raise typer.Exit(EXIT_FAILED)


def with_cluster(kubeconfig: str | None, work: Callable[[Kubernetes], Awaitable[T]]) -> T:
    """Runs ``work`` with a connection; turns what goes wrong into a sentence and an exit code."""

    async def connected() -> T:
        async with await Kubernetes.connect(kubeconfig_path(kubeconfig)) as kubernetes:
            return await work(kubernetes)

    try:
        return asyncio.run(connected())
    except ConfigException as error:
        fail(f"no cluster to talk to: {error}; name one with --kubeconfig, or start the embedded one with `make up`")
    except (CommandError, KubernetesError, OSError, RPCError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
