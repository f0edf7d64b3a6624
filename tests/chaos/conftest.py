"""What of this folder runs only when it is named."""

from __future__ import annotations

collect_ignore = ["test_drain.py"]
"""It needs three machines; the cluster of the whole run has one."""
