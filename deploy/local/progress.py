"""What a person sees while `up` works: one line per step, with its time; within a long step, how far it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.status import Status

QUIET_SECONDS = 15  # where the output is no terminal, a long step is heard of this often


class Progress:
    """The display of one run. On a terminal the running step is animated, elsewhere it is plain lines."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._status: Status | None = None
        self._step = ""
        self._said = 0.0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A step: shown as running, then as done in so many seconds, or as failed."""
        started = self._said = time.monotonic()
        self._step = title
        if self._console.is_terminal:
            self._status = self._console.status(escape(title))
            self._status.start()
        mark = "[red]✗[/red]"
        try:
            yield
            mark = "[green]✓[/green]"
        finally:
            if self._status:
                self._status.stop()
                self._status = None
            self._step = ""
            self._console.print(f"{mark} {escape(title)} [dim]{time.monotonic() - started:.1f} s[/dim]", soft_wrap=True)

    def update(self, text: str, done: int = 0, total: int = 0) -> None:
        """Say how far the running step is; says nothing outside one."""
        share = f"{min(done, total)}/{total} " if total else ""
        message = f"{self._step}: {share}{text}"
        if self._status:
            self._status.update(escape(message[: self._console.width - 4]))
        elif self._step and time.monotonic() - self._said > QUIET_SECONDS:
            self._said = time.monotonic()
            self._console.print(f"  {escape(message)}", soft_wrap=True)

    def note(self, text: str) -> None:
        self._console.print(f"  {escape(text)}", soft_wrap=True)
