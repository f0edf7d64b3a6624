"""Images of the node, taken away and given back."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.commands import run
from deploy.local.images import listed
from deploy.local.instance import Instance
from deploy.local.paths import cache_root


class MissingImage:
    """A node that lacks an image, and no registry that would have it; use as a context manager."""

    def __init__(self, instance: Instance, reference: str) -> None:
        self._instance, self._reference = instance, reference

    def __enter__(self) -> Self:
        self._ctr("images", "remove", "--sync", *self._names())
        assert self._reference not in listed(self._instance.paths.ctr)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()

    def restore(self) -> None:
        """Loads it from the archive that the instance was given at first."""
        loaded: dict[str, str] = json.loads((self._instance.paths.state / "images.json").read_text())
        archive: Path = cache_root() / "images" / loaded[self._reference]
        assert self._reference in self._instance.load_image(archive)

    def _names(self) -> list[str]:
        """All names of the image: the runtime also knows it by its digest, and has it until the last is gone."""
        rows = [line.split() for line in self._ctr("images", "list").splitlines()[1:]]
        digests = {row[2] for row in rows if row[0] == self._reference}
        return [row[0] for row in rows if row[2] in digests]

    def _ctr(self, *arguments: str) -> str:
        return run([*self._instance.paths.ctr, *arguments]).stdout
