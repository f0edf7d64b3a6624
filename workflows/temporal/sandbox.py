"""The sandbox in which workflows run, for the worker and for tests: one setting, so that no module needs its own.

The SDK loads the modules of a workflow anew for each run, and keeps them from whatever is not deterministic. ``api`` is
handed in as the process has it: it has no state, loading its models anew for each run would cost, and a payload is to
be decoded into the very class that the rest of the process knows.
"""

from __future__ import annotations

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

WORKFLOW_RUNNER = SandboxedWorkflowRunner(SandboxRestrictions.default.with_passthrough_modules("api"))
