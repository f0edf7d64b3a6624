"""Progress of long work on stderr, so that stdout holds the result alone: a moving line, or plain lines in a file."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli.session import errors


class Steps:
    """``with Steps("Restart demo/x") as tell: tell("redis-server: wait")``."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._last = ""
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._bar = Progress(*columns, console=errors, transient=True) if errors.is_terminal else None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._bar.add_task(escape(self._title), total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, step: str) -> None:
        if step == self._last:
            return
        self._last = step
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], description=escape(f"{self._title}: {step}"))
        else:
            errors.print(escape(f"{self._title}: {step}"), soft_wrap=True)
