"""The process that runs workflows and activities: the composition root, where everything is put together."""

from __future__ import annotations
