"""``mw status --watch``: what status shows, drawn anew each second until Ctrl-C."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape

from cli.session import CommandError, output
from clients.errors import KubernetesError

T = TypeVar("T")
EVERY = 1.0


async def watch(
    load: Callable[[], Awaitable[T]], draw: Callable[[T], RenderableType], keep: Callable[[T], None]
) -> None:
    """Only the first look may fail; later an API server that is away is said below what was seen last.

    ``keep`` gets each thing loaded, as this ends by being cancelled.
    """
    shown = await load()
    keep(shown)
    with Live(draw(shown), console=output, auto_refresh=False, vertical_overflow="visible") as live:
        live.refresh()
        while True:
            await asyncio.sleep(EVERY)
            try:
                shown = await load()
                keep(shown)
                live.update(draw(shown), refresh=True)
            except (KubernetesError, CommandError) as error:
                live.update(Group(draw(shown), f"[red]{escape(str(error))}[/red]"), refresh=True)
