"""Where the tests find Temporal's dev server, and how they start it."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

from temporalio.testing import WorkflowEnvironment

from api.operations import SEARCH_APP, SEARCH_NAMESPACE, SEARCH_OPERATION, SEARCH_PLUGIN

SUGGESTED_EVENTS = 120
"""Events at which the server suggests to continue as new: low, so that every longer test goes through it."""
_ATTEMPTS = 5


def temporal_binary() -> str:
    """From TEMPORAL_CLI, PATH, or the embedded cluster's cache. Raises LookupError that says how to get one."""
    found = os.environ.get("TEMPORAL_CLI") or shutil.which("temporal")
    if found:
        return found
    cache = Path(os.environ.get("MW_CACHE", "/var/cache/middleware-platform"))
    built = sorted(cache.glob("bin/temporal-*/temporal"), key=lambda path: path.stat().st_mtime)
    if not built:
        raise LookupError("no temporal binary: set TEMPORAL_CLI, put it on PATH, or run make up once to build it")
    return str(built[-1])


@asynccontextmanager
async def dev_server() -> AsyncIterator[WorkflowEnvironment]:
    """A server of its own, in memory."""
    attributes = [SEARCH_APP, SEARCH_NAMESPACE, SEARCH_OPERATION, SEARCH_PLUGIN]
    arguments = [word for name in attributes for word in ("--search-attribute", f"{name}=Keyword")]
    arguments += ["--dynamic-config-value", f"limit.historyCount.suggestContinueAsNew={SUGGESTED_EVENTS}"]
    environment = await _started(arguments)
    try:
        yield environment
    finally:
        await environment.shutdown()


async def _started(arguments: list[str]) -> WorkflowEnvironment:
    """The SDK gives a server five seconds; on a machine that builds programs beside the tests it may take longer."""
    for attempt in count(1):
        try:
            return await WorkflowEnvironment.start_local(
                dev_server_existing_path=temporal_binary(),
                dev_server_extra_args=arguments,
                dev_server_log_level="error",
            )
        except RuntimeError:
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("count has no end")
