"""The cluster of the end-to-end tests."""

from __future__ import annotations

from tests.e2e.conftest import instance, kube, temporal

__all__ = ["instance", "kube", "temporal"]
