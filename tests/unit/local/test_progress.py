"""What a person reads: every step with its time, those that run side by side apart, and a table at the end."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from deploy.local.progress import Part, Progress


def progress(*, terminal: bool = False) -> tuple[Progress, io.StringIO]:
    text = io.StringIO()
    return Progress(Console(file=text, width=120, force_terminal=terminal)), text


def test_the_table_names_each_step_what_was_made_in_it_and_the_whole() -> None:
    shown, text = progress()
    with shown.step("Programs [v1]") as step:
        step.made = "built"
    with shown.step("Images") as step:
        step.made = "cached"
        step.parts.append(Part("redis:7.0", 12.34, "built"))
    shown.print_table()
    lines = [line.split() for line in text.getvalue().splitlines()[2:]]
    assert [line[0] for line in lines] == ["stage", "Programs", "Images", "redis:7.0", "in"]
    assert lines[1][-1] == "built"
    assert lines[3][1:] == ["12.3", "built"]


def test_the_table_has_the_order_of_the_lines_before_it() -> None:
    shown, text = progress()
    with shown.step("Images"), shown.step("Network"):
        pass
    shown.print_table()
    lines = [line.split() for line in text.getvalue().splitlines()]
    assert [line[1] for line in lines[:2]] == [line[0] for line in lines[3:5]] == ["Network", "Images"]


@pytest.mark.parametrize("terminal", [False, True])
def test_steps_that_run_side_by_side_speak_for_themselves(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.local.progress.QUIET_SECONDS", -1)
    shown, text = progress(terminal=terminal)
    beside, told = threading.Event(), threading.Event()

    def other() -> None:
        with shown.step("Images"):
            beside.set()
            told.wait(20)
            shown.update("redis")

    thread = threading.Thread(target=other)
    with shown.step("Programs"):
        thread.start()
        assert beside.wait(20)
        shown.update("compiling net", 1, 2)
        told.set()
        thread.join()
    assert not terminal or "\x1b" in text.getvalue()
    if not terminal:
        said = [line.strip() for line in text.getvalue().splitlines()]
        assert said[:2] == ["Programs: 1/2 compiling net", "Images: redis"]


def test_a_step_that_failed_is_marked_and_its_error_goes_on() -> None:
    shown, text = progress()
    with pytest.raises(ValueError, match="no"), shown.step("Programs"):
        raise ValueError("no")
    assert text.getvalue().startswith("✗ Programs")


def test_outside_a_step_nothing_is_said() -> None:
    shown, text = progress()
    shown.update("compiling")
    assert text.getvalue() == ""
