"""The App's entity, its operations and the pure planner. Deterministic and small: all I/O is in ``activities/``."""

from __future__ import annotations
