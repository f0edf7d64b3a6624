"""Runs the programs that build, with their output in a log file instead of on the terminal."""

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path


class BuildError(Exception):
    """A program failed; the message names it, shows the end of its output, and says where the rest is."""


def run(command: list[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
    """Runs one command; its output and its time go to the log. Raises BuildError where it fails or is absent."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as output:
        output.write(f"\n$ {' '.join(command)}\n")
        output.flush()
        start, started = output.tell(), time.monotonic()
        try:
            status = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                check=False,
            ).returncode
        except FileNotFoundError as error:
            raise BuildError(f"{command[0]} is not installed: {error}") from error
        output.write(f"({time.monotonic() - started:.1f} s)\n")
    if status != 0:
        with log.open("rb") as said:
            said.seek(start)
            tail = said.read().decode(errors="replace").splitlines()[-15:]
        raise BuildError(
            f"`{' '.join(command[:4])} …` failed with status {status}; all of it is in {log}:\n" + "\n".join(tail)
        )
