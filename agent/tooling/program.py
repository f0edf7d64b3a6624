"""The ``run`` action: a program without a shell. It and its children never outlive the step, but for those that were
given up by their parents in a session of their own: in agent 1 these end with the preparation."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agent.process.reaper import Reaper
from agent.tooling.failure import Mask, StepError, answered

_LARGEST_OUTPUT = 4 * 1024 * 1024
_AFTER_EXIT = 1.0
"""Seconds in which the end of a dead program's output must come; only an escaped grandchild can hold it open longer."""


@dataclass(frozen=True)
class Program:
    """A ``run`` action with everything filled in; ``line`` sees each line of both outputs as it comes."""

    argv: Sequence[str]
    env: Mapping[str, str]
    stdin: str | None
    exit_codes: Sequence[int]
    directory: str
    line: Callable[[str], None]
    mask: Mask


class _Lines(asyncio.Protocol):
    """Keeps an output up to its limit and passes on whole lines."""

    def __init__(self, line: Callable[[str], None]) -> None:
        self._line = line
        self._partial = b""
        self.output = bytearray()
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        if len(self.output) < _LARGEST_OUTPUT:
            self.output += data[: _LARGEST_OUTPUT - len(self.output)]
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._line(line.decode("utf-8", "replace"))

    def connection_lost(self, error: Exception | None) -> None:
        if self._partial:
            self._line(self._partial.decode("utf-8", "replace"))
        if not self.ended.done():
            self.ended.set_result(None)


async def run_program(reaper: Reaper, program: Program) -> str:
    """Its standard output. Raises StepError; on cancellation it is killed, with its children."""
    name = program.argv[0]
    stdin = subprocess.DEVNULL if program.stdin is None else _in_memory(program.stdin)
    readers: list[asyncio.ReadTransport] = []
    try:
        outputs = [await _pipe(program.line, readers) for _ in range(2)]
        try:
            child = reaper.spawn(
                program.argv,
                env={**os.environ, **program.env},
                directory=program.directory,
                stdin=stdin,
                stdout=outputs[0][1],
                stderr=outputs[1][1],
            )
        except OSError as error:
            raise StepError(f"cannot run {name}: {error.strerror or error}") from error
        finally:
            for _, writing in outputs:
                os.close(writing)
        try:
            code = await asyncio.shield(child.exited)
        finally:
            child.kill()
        await asyncio.wait([lines.ended for lines, _ in outputs], timeout=_AFTER_EXIT)
    finally:
        if stdin >= 0:
            os.close(stdin)
        for reader in readers:
            reader.close()
    standard, errors = (lines.output.decode("utf-8", "replace") for lines, _ in outputs)
    if code not in program.exit_codes:
        said = errors.strip() or standard.strip()
        raise answered(f"{name} ended with exit code {code}, saying", said, program.mask)
    return standard


async def _pipe(line: Callable[[str], None], readers: list[asyncio.ReadTransport]) -> tuple[_Lines, int]:
    reading, writing = os.pipe()
    transport, lines = await asyncio.get_running_loop().connect_read_pipe(
        lambda: _Lines(line), os.fdopen(reading, "rb", buffering=0)
    )
    readers.append(transport)
    return lines, writing


def _in_memory(text: str) -> int:
    """A file in memory: a program that does not read its input cannot block us, as a full pipe would."""
    descriptor = os.memfd_create("stdin", os.MFD_CLOEXEC)
    os.write(descriptor, text.encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
