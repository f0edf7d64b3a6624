"""The cluster of the end-to-end tests; ``MW_TEST_KEEP=1`` and ``MW_TEST_INSTANCE`` for one that is there already."""

from __future__ import annotations

from tests.e2e.conftest import instance, kube, temporal

__all__ = ["instance", "kube", "temporal"]

collect_ignore = ["test_drain.py", "test_machine_lost.py", "test_reboot.py"]
"""Run when they are named: they need three machines, and the cluster of the whole run has one."""
