"""The two sandboxes in which workflows run, so that no module needs a setting of its own.

The SDK loads the modules of a workflow anew for each run and keeps them from whatever is not deterministic. ``api`` is
handed in as the process has it: it has no state, and a payload is decoded into the class that the rest of the process
knows.

``STRICT`` loads our workflow code inside the sandbox. Tests and replays use it: a clock, a random number or a file in
workflow code fails there. ``PRODUCTION`` hands our workflow code in as well. A worker keeps one workflow for each App,
and a copy of our modules for each of them costs memory for as long as the App lives and processor time at each start
(docs/performance.md). Our workflow modules hold no state, so runs cannot meet in them.
"""

from __future__ import annotations

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

STRICT = SandboxedWorkflowRunner(SandboxRestrictions.default.with_passthrough_modules("api"))
PRODUCTION = SandboxedWorkflowRunner(SandboxRestrictions.default.with_passthrough_modules("api", "workflows"))
