"""Telling another workflow something without losing a cancellation.

The SDK shields a signal that is on its way: a task that is cancelled meanwhile hears nothing of it once the signal has
arrived, as the SDK takes the cancellation back (``Task.uncancel``). An operation that told its entity that it waits,
just as the entity ended it, waited for ever, and all that came after it for its end.
"""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio import workflow


async def send(
    handle: workflow.ExternalWorkflowHandle[Any] | workflow.ChildWorkflowHandle[Any, Any], signal: str, argument: object
) -> None:
    """Returns when the signal is delivered. Raises FailureError where it cannot be, and CancelledError at once: the
    signal goes on its way by itself then."""
    sending = asyncio.create_task(handle.signal(signal, argument))
    try:
        await asyncio.shield(sending)
    except asyncio.CancelledError:
        sending.add_done_callback(_retrieved)
        raise


def _retrieved(sending: asyncio.Task[None]) -> None:
    """Else asyncio logs a failure as forgotten."""
    if not sending.cancelled():
        sending.exception()
