"""What every package of units may ask for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support import virtual_time as support


@pytest.fixture
async def virtual_time() -> AsyncIterator[None]:
    """Seconds that cost nothing: for tests that await nothing outside the process."""
    with support.virtual_time(asyncio.get_running_loop()):
        yield
