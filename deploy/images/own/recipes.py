"""What an author's image is made of. Pure, but for the folder that is written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.images.catalog import Image, catalog

SUITES = ("bookworm", "bullseye", "trixie")
"""Debian 12, 11 and 13, of which each has other versions of the engines."""
_REFERENCE = re.compile(r"(?:middleware[.]local/)?([a-z][a-z0-9-]*):([A-Za-z0-9_][A-Za-z0-9_.-]*)")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_FILE = "Containerfile"
_TEMPLATE = """\
ARG BASE
FROM ${{BASE}}
# The agents run as this user, the same in every version: the files of a volume keep their owner.
RUN groupadd --system --gid {user} engine \\
 && useradd --system --uid {user} --gid engine --home-dir /middleware --no-create-home \\
    --shell /usr/sbin/nologin engine \\
 && apt-get update -q \\
 && apt-get install -qy --no-install-recommends {packages} \\
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/*.log /var/log/apt
USER {user}:{user}
"""


@dataclass(frozen=True)
class Packages:
    """``user``: as plugin.yaml's component has it."""

    names: tuple[str, ...]
    user: int = 999

    def written(self) -> str:
        """Raises ValueError."""
        wrong = [name for name in self.names if _PACKAGE.fullmatch(name) is None]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is not the name of a Debian package; write for example redis-server")
        if not 1 <= self.user <= 65533:
            raise ValueError(f"user {self.user} is not allowed: write a number of 1 to 65533, as plugin.yaml has it")
        return _TEMPLATE.format(user=self.user, packages=" ".join(self.names))


def image(reference: str, suite: str, folder: Path) -> Image:
    """Raises ValueError."""
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        message = f"{reference!r} is not the name of an image: write NAME:TAG, such as cellar:1.0; a plugin names it"
        raise ValueError(f"{message} middleware.local/NAME:TAG")
    if suite not in SUITES:
        raise ValueError(f"there is no Debian release {suite!r} here; there are {', '.join(SUITES)}")
    made = Image(found.group(1), found.group(2), suite, folder=folder)
    if made.name in {each.name for each in catalog()}:
        raise ValueError(f"{made.name} is the name of the platform's own image; choose another, such as my-{made.name}")
    return made


def check(folder: Path) -> None:
    """Raises ValueError where it is no recipe."""
    file = folder / _FILE
    if not file.is_file():
        raise ValueError(f"{folder} has no {_FILE}; write one, or name Debian packages with --package")
    if not re.search(r"^FROM\s+\$\{?BASE\}?\s*$", file.read_text(encoding="utf-8"), re.MULTILINE):
        raise ValueError(
            f"{file}: nothing is pulled, only Debian's base is there: begin with the lines ARG BASE and FROM ${{BASE}}"
        )


def written(packages: Sequence[str], user: int, folder: Path) -> None:
    """The recipe of these packages. Raises ValueError."""
    (folder / _FILE).write_text(Packages(tuple(packages), user).written(), encoding="utf-8")
