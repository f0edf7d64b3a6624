"""All tests, tier by tier: ``python -m tests.run [unit|e2e] [-- options of pytest]``.

| tier | what | how |
|---|---|---|
| unit | units and replays, nothing of a cluster | in parallel; most of their time is waiting |
| workflows | workflows on Temporal's dev server | in parallel, each worker with a server |
| e2e | on the embedded cluster, each module with its own namespaces | in parallel, a module on one worker |
| exclusive | what takes the cluster, the machine or the clock for itself | one after another |

The cluster's programs and images are made while the first tier waits. Every tier runs even where an earlier one failed;
the report at the end has the time of each tier and the slowest tests.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.report import FILE, Tier

REPOSITORY = Path(__file__).resolve().parents[1]
KEEP = "MW_TEST_KEEP"
NO_TESTS = 5
"""pytest's exit code where the options chose no test of a tier."""
NOT_PREPARED = 100
"""Our own, where the programs or the images could not be made: no tier that needs them runs."""
SLOWEST = 20


@dataclass(frozen=True)
class Plan:
    """A tier and how pytest runs it."""

    name: str
    arguments: tuple[str, ...]
    needs_programs: bool = True
    needs_cluster: bool = False


UNIT = Plan("unit", ("tests/unit", "tests/replay", "-n", "9"), needs_programs=False)
WORKFLOWS = Plan("workflows", ("tests/workflows", "-n", "5"))
# In the order of their names: by the number of their tests, as pytest-xdist has it, the longest story would begin last.
SPREAD = ("-n", "3", "--dist", "loadfile", "--no-loadscope-reorder")
E2E = Plan("e2e", ("tests/e2e", "-m", "not exclusive", *SPREAD), needs_cluster=True)
EXCLUSIVE = Plan("exclusive", ("tests/e2e", "-m", "exclusive"), needs_cluster=True)
PARTS = {"unit": (UNIT, WORKFLOWS), "e2e": (E2E, EXCLUSIVE), "all": (UNIT, WORKFLOWS, E2E, EXCLUSIVE)}


@dataclass(frozen=True)
class Outcome:
    """Of one tier."""

    plan: Plan
    code: int
    seconds: float
    tier: Tier


def run_tier(plan: Plan, options: list[str], folder: Path) -> Outcome:
    file = folder / f"{plan.name}.json"
    print(f"\n===== {plan.name} =====", flush=True)
    command = [sys.executable, "-m", "pytest", "-p", "tests.support.report", *plan.arguments, *options]
    started = time.monotonic()
    code = subprocess.run(command, cwd=REPOSITORY, env=os.environ | {FILE: str(file)}, check=False).returncode
    return Outcome(plan, code, time.monotonic() - started, Tier.read(file))


def report(outcomes: list[Outcome]) -> None:
    print(f"\n===== the {SLOWEST} slowest tests, with what they set up =====")
    every = [(seconds, name) for outcome in outcomes for name, seconds in outcome.tier.seconds.items()]
    for seconds, name in sorted(every, reverse=True)[:SLOWEST]:
        print(f"{seconds:7.1f} s  {name}")
    print("\n===== tiers =====")
    for each in outcomes:
        verdict = "passed" if each.code in (0, NO_TESTS) else f"failed (exit code {each.code})"
        print(f"{each.seconds:7.1f} s  {each.plan.name}: {len(each.tier.seconds)} tests, {verdict}")
    failed = [name for outcome in outcomes for name in outcome.tier.failed]
    for name in failed:
        print(f"FAILED {name}")
    print(f"{sum(len(each.tier.seconds) for each in outcomes) - len(failed)} passed, {len(failed)} failed", flush=True)


class Preparation:
    """``deploy.local prepare`` beside the first tier: minutes where nothing is in the cache, else a moment."""

    def __init__(self, log: Path) -> None:
        self._log = log
        command = [sys.executable, "-m", "deploy.local", "prepare"]
        with log.open("w") as output:
            self._process = subprocess.Popen(command, cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT)

    def wait(self) -> bool:
        """Until it has ended, and tells what it said; whether all is there."""
        started = time.monotonic()
        code = self._process.wait()
        print(f"\n===== programs and images: waited {time.monotonic() - started:.0f} s more =====", flush=True)
        print(self._log.read_text(), flush=True)
        return code == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.run", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("part", nargs="?", choices=PARTS, default="all", help="only this part (default: all)")
    parser.add_argument("options", nargs="*", help="further options of pytest, after --")
    chosen = parser.parse_args()
    plans = PARTS[chosen.part]
    own_cluster = not os.environ.get(KEEP) and any(plan.needs_cluster for plan in plans)
    os.environ[KEEP] = "1"  # the tiers share one cluster
    with tempfile.TemporaryDirectory(prefix="mw-tests-") as folder:
        outcomes = run_tiers(plans, chosen.options, Path(folder), own_cluster=own_cluster)
    report(outcomes)
    codes = {each.code for each in outcomes}
    return 0 if codes <= {0, NO_TESTS} and 0 in codes else 1


def run_tiers(plans: tuple[Plan, ...], options: list[str], folder: Path, *, own_cluster: bool) -> list[Outcome]:
    outcomes = []
    preparation: Preparation | None = Preparation(folder / "prepare.log")
    if own_cluster:
        end_cluster()  # what a run that was killed has left is of another version
    for plan in plans:
        if preparation and plan.needs_programs:
            if not preparation.wait():
                outcomes.append(Outcome(plan, NOT_PREPARED, 0.0, Tier()))
                break
            preparation = None
        outcomes.append(run_tier(plan, options, folder))
    if own_cluster:
        end_cluster()
    return outcomes


def end_cluster() -> None:
    from tests.e2e.support.environment import end  # the unit tier needs none of what it imports

    end()


if __name__ == "__main__":
    sys.exit(main())
