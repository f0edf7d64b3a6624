"""Apps under load while a seeded script deletes and edits their objects in the middle of operations.

    python -m tests.chaos.edits --instance test --apps 20 --seed 1 --minutes 10 [--shape sentinel] [--act KIND/NAME]

The plan is printed before it is carried out, and depends on the seed and these options alone. Each step that was done,
what each App says after the last one and what was found of it is a line in the results file. The command fails where an
App is not as wanted in the end and names nothing that a person could do, where a write that WAIT had confirmed is lost,
or where two engines of an App have taken writes at once.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from deploy.local.instance import Instance
from tests.chaos.edits.acts import BY_NAME
from tests.chaos.edits.apps import SHAPES, shapes
from tests.chaos.edits.operations import OPERATIONS
from tests.chaos.edits.plan import plan
from tests.chaos.edits.run import run
from tests.e2e.support.environment import kube_of

NAMESPACE = "edits"


def main() -> int:
    options = _options()
    apps = shapes(options.shape, options.apps)
    acts = [name for name in options.act or BY_NAME if name not in options.without]
    steps = plan(options.seed, apps, options.minutes * 60, options.every, acts, options.operation)
    print("\n".join(step.line() for step in steps), flush=True)
    if options.plan:
        return 0
    instance = Instance(options.instance)
    begun = time.monotonic()

    def write(line: dict[str, Any]) -> None:
        text = json.dumps({"time": round(time.monotonic() - begun, 1), **line})
        with options.results.open("a") as file:
            file.write(text + "\n")
        print(text, flush=True)

    outcome = run(instance, NAMESPACE, apps, steps, options.settle, write)
    print(outcome.summary())
    if not options.keep:
        kube_of(instance).run("delete", "app.middleware.io", *apps, "-n", NAMESPACE, "--wait=false")
    return 1 if outcome.problems else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instance", default="test")
    parser.add_argument("--results", type=Path, default=Path("edits.jsonl"))
    parser.add_argument("--apps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--every", type=float, default=90, help="seconds from one operation of an App to its next")
    parser.add_argument("--settle", type=float, default=600, help="seconds within which each App must be as wanted")
    parser.add_argument("--shape", choices=SHAPES, action="append", default=[])
    parser.add_argument("--act", choices=BY_NAME, action="append", default=[])
    parser.add_argument("--without", choices=BY_NAME, action="append", default=[])
    parser.add_argument("--operation", choices=OPERATIONS, action="append", default=[])
    parser.add_argument("--plan", action="store_true", help="print the plan and do nothing")
    parser.add_argument("--keep", action="store_true", help="leave the Apps there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
