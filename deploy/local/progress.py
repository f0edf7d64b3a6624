"""What a person sees while `up` works: a line for each step with its time, how far a long step is, a table at the end.

Steps may run side by side, each in a thread of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Column, Table
from rich.text import Text

QUIET_SECONDS = 15  # where the output is no terminal, a long step is heard of this often


@dataclass(frozen=True)
class Part:
    """A part of a step that has a line of its own in the table: `made` says `built` or `cached`."""

    title: str
    seconds: float
    made: str


@dataclass
class Step:
    """A step that runs, and what the table says of it."""

    title: str
    started: float = field(default_factory=time.monotonic)
    said: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    made: str = ""
    parts: list[Part] = field(default_factory=list)
    spinner: Spinner = field(default_factory=lambda: Spinner("dots"))


class Progress:
    """The display of one run. On a terminal the running steps are animated, elsewhere they are plain lines."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._started = time.monotonic()
        self._running: list[Step] = []
        self._all: list[Step] = []
        self._live: Live | None = None
        self._lock = threading.Lock()
        self._own = threading.local()

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """A step of this thread: shown as running, then as done in so many seconds, or as failed."""
        step = Step(title)
        step.spinner.text = Text(title)
        self._own.step = step
        self._begin(step)
        mark = "[red]✗[/red]"
        try:
            yield step
            mark = "[green]✓[/green]"
        finally:
            step.seconds = time.monotonic() - step.started
            self._own.step = None
            self._end(step)
            self._console.print(f"{mark} {escape(title)} [dim]{step.seconds:.1f} s[/dim]", soft_wrap=True)

    def update(self, text: str, done: int = 0, total: int = 0, *, step: Step | None = None) -> None:
        """Say how far the step of this thread is (`step`: another thread's); says nothing outside a step."""
        step = step or getattr(self._own, "step", None)
        if step is None:
            return
        share = f"{min(done, total)}/{total} " if total else ""
        message = f"{step.title}: {share}{text}"
        step.spinner.text = Text(message[: self._console.width - 4])
        if not self._console.is_terminal and time.monotonic() - step.said > QUIET_SECONDS:
            step.said = time.monotonic()
            self._console.print(f"  {escape(message)}", soft_wrap=True)

    def note(self, text: str) -> None:
        self._console.print(f"  {escape(text)}", soft_wrap=True)

    def print_table(self) -> None:
        """What took how long. Steps that ran side by side are in it with their full times: the sum is the last line."""
        table = Table("stage", Column("seconds", justify="right"), "", box=None, padding=(0, 2, 0, 2))
        for step in self._all:
            table.add_row(escape(step.title), f"{step.seconds:.1f}", step.made)
            for part in step.parts:
                table.add_row(f"  {escape(part.title)}", f"{part.seconds:.1f}", part.made, style="dim")
        table.add_row("in all", f"{time.monotonic() - self._started:.1f}", "", style="bold")
        self._console.print(table)

    def _begin(self, step: Step) -> None:
        with self._lock:
            self._running.append(step)
            if self._console.is_terminal and self._live is None:
                self._live = Live(get_renderable=self._spinners, console=self._console, transient=True)
                self._live.start()

    def _end(self, step: Step) -> None:
        with self._lock:
            self._running.remove(step)
            self._all.append(step)  # in the order in which their lines were printed
            if self._live and not self._running:
                self._live.stop()
                self._live = None

    def _spinners(self) -> Group:
        # without the lock: the display's own thread asks while `_end` waits for it
        return Group(*(step.spinner for step in tuple(self._running)))
