"""The steps of operations: the only code that does I/O for workflows. Each is idempotent and reads live state first."""

from __future__ import annotations
