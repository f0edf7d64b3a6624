"""The one error of the embedded cluster: a sentence that an operator can act on."""

from __future__ import annotations


class LocalError(Exception):
    """What is wrong and what would be right, in words. Shown without a traceback."""
