"""The end of the worker's process: in order where that is possible, and in any case before the kubelet kills it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worker.__main__ import GRACE, STOPS_WITHIN

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "chart" / "templates" / "worker.yaml"
PROGRAM = """
import asyncio
from worker import __main__ as program

async def serve(settings, stopping):
    print("serves", flush=True)
    try:
        await {until}
    finally:
        stopping.set()
        while {stuck}:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                print("it was cancelled, and does not end", flush=True)

program.serve, program.STOPS_WITHIN = serve, 0.5
program.main()
"""
UNTIL_TOLD = "asyncio.Event().wait()"


def started(*, stuck: bool, until: str = UNTIL_TOLD) -> subprocess.Popen[str]:
    program = PROGRAM.format(until=until, stuck=stuck)
    environment = {**os.environ, "MW_AGENT_IMAGE": "agent", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    assert "serves" in process.stdout.readline()
    return process


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        said, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_ends_in_order(number: signal.Signals) -> None:
    process = started(stuck=False)
    process.send_signal(number)
    code, said = ended(process)
    assert (code, "stopped" in said) == (0, True)


def test_told_to_stop_it_ends_also_where_the_sdk_does_not() -> None:
    """The Pod stayed until the kubelet killed it, and a drain of its machine waited for that."""
    process, began = started(stuck=True), time.monotonic()
    process.send_signal(signal.SIGTERM)
    code, said = ended(process)
    assert (code, "the Temporal SDK does not end" in said) == (1, True)
    assert time.monotonic() - began < 15


def test_so_it_does_where_its_certificates_have_changed() -> None:
    """Nobody would have killed it: it would have lingered with the old ones."""
    code, said = ended(started(stuck=True, until="asyncio.sleep(0)"))
    assert (code, "the Temporal SDK does not end" in said) == (1, True)


def test_activities_have_their_time_and_the_kubelet_waits_for_all_of_it() -> None:
    found = re.search(r"terminationGracePeriodSeconds: (\d+)", CHART.read_text())
    assert found is not None
    assert GRACE.total_seconds() + 10 <= STOPS_WITHIN <= int(found[1]) - 5
