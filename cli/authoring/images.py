"""``mw image``: an engine's own image, from nothing to the embedded cluster.

What builds and loads images belongs to the clone and is in no image of ours, so it runs as a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli.session import fail

_REPOSITORY = Path(__file__).resolve().parents[2]
app = typer.Typer(no_args_is_help=True, help="Images of engines, for the embedded cluster.")


@app.command("build")
def build(
    reference: Annotated[str, typer.Argument(metavar="NAME:TAG", help="A plugin names it middleware.local/NAME:TAG.")],
    folder: Annotated[
        Path | None, typer.Option("--folder", exists=True, file_okay=False, help="With a Containerfile.")
    ] = None,
    packages: Annotated[
        list[str] | None, typer.Option("--package", help="Of Debian, instead of a folder; may be repeated.")
    ] = None,
    suite: Annotated[str, typer.Option("--suite", help="Debian's release: bookworm, bullseye or trixie.")] = "bookworm",
    user: Annotated[int, typer.Option("--user", help="With --package: the engine's, as in plugin.yaml.")] = 999,
    to: Annotated[Path | None, typer.Option("--to", help="The archive; default: NAME-TAG.tar here.")] = None,
) -> None:
    """Builds an image on Debian's base, without a registry, as root; a folder's Containerfile begins FROM ${BASE}."""
    target = to or Path(f"{reference.rpartition('/')[2].replace(':', '-')}.tar")
    words = ["deploy.images.own", reference, "--suite", suite, "--user", str(user), "--output", str(target.resolve())]
    words += ["--folder", str(folder.resolve())] if folder is not None else []
    _run([*words, *(word for name in packages or () for word in ("--package", name))])


@app.command("load")
def load(
    archives: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="OCI or Docker archives.")],
    instance: Annotated[str, typer.Option("--instance", help="Of the embedded cluster.")] = "default",
) -> None:
    """Brings images into the embedded cluster, on each of its nodes; other clusters pull theirs from a registry."""
    _run(["deploy.local", "--instance", instance, "image", "load", *(str(each.resolve()) for each in archives)])


def _run(words: Sequence[str]) -> None:
    if not (_REPOSITORY / "deploy" / "images").is_dir():
        fail("images are built and loaded from a clone of the repository; run mw there: .venv/bin/python -m cli image")
    code = subprocess.run([sys.executable, "-m", *words], cwd=_REPOSITORY, check=False).returncode
    if code:
        raise typer.Exit(code)
