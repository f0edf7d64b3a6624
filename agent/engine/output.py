"""The engine's output to our stdout, in whole lines and with back-pressure.

Several processes of an engine write to one pipe; a line is passed on in one piece, so lines never mix. Where the
container runtime does not read, at most 1 MiB is held here and then the engine's own writes wait, as without us
between them. The last of it is kept, for the sentence on why the engine has ended (``lastwords``).
"""

from __future__ import annotations

import asyncio
import os

_CHUNK = 65536
_LONGEST_LINE = 65536
"""A longer line is passed on in pieces."""
_HELD = 1024 * 1024
_KEPT = 8192
"""Bytes of its end that are kept."""


class LineSink:
    """Writes to ``descriptor`` without ever blocking the event loop."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._held = bytearray()
        self._sources: set[LineSource] = set()
        self._waiting = False
        self._empty = asyncio.Event()

    def attach(self, descriptor: int) -> LineSource:
        """Reads the engine's end of a pipe until it is closed."""
        os.set_blocking(self._descriptor, False)
        source = LineSource(descriptor, self)
        self._sources.add(source)
        if len(self._held) < _HELD:
            source.resume()
        return source

    def write(self, data: bytes) -> None:
        self._held += data
        self._flush()

    async def drained(self, timeout: float) -> None:
        """Returns when everything is written, at the latest after ``timeout`` seconds."""
        if self._held:
            try:
                await asyncio.wait_for(self._empty.wait(), timeout)
            except TimeoutError:
                return

    def discard(self, source: LineSource) -> None:
        self._sources.discard(source)

    def _flush(self) -> None:
        while self._held:
            try:
                del self._held[: os.write(self._descriptor, self._held[:_CHUNK])]
            except BlockingIOError:
                break
            except OSError:
                self._held.clear()  # nobody reads any more (EPIPE): the engine's work goes on
        if self._held:
            self._empty.clear()
        else:
            self._empty.set()
        loop = asyncio.get_running_loop()
        if self._held and not self._waiting:
            loop.add_writer(self._descriptor, self._flush)
            self._waiting = True
        elif not self._held and self._waiting:
            loop.remove_writer(self._descriptor)
            self._waiting = False
        for source in list(self._sources):
            if len(self._held) >= _HELD:
                source.pause()
            else:
                source.resume()


class LineSource:
    """The reading end of one run's output."""

    def __init__(self, descriptor: int, sink: LineSink) -> None:
        self._descriptor = descriptor
        self._sink = sink
        self._partial = b""
        self._last = b""
        self._reading = False
        self._closed = False
        os.set_blocking(descriptor, False)

    def resume(self) -> None:
        if not self._reading and not self._closed:
            asyncio.get_running_loop().add_reader(self._descriptor, self._read)
            self._reading = True

    def pause(self) -> None:
        if self._reading:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            self._reading = False

    def last_lines(self) -> list[str]:
        """Whole lines, the newest last."""
        text = self._last
        if len(text) >= _KEPT:
            text = text[text.find(b"\n") + 1 :]
        return text.decode("utf-8", "replace").splitlines()

    def drain(self) -> None:
        """Passes on what a dead engine left in the pipe; its last words matter most."""
        while not self._closed and self._read():
            pass

    def _read(self) -> bool:
        try:
            data = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._close()
            return False
        text = self._partial + data
        end = text.rfind(b"\n") + 1
        if not end and len(text) >= _LONGEST_LINE:
            end = len(text)
        self._partial = text[end:]
        if end:
            self._pass_on(text[:end])
        return True

    def _pass_on(self, text: bytes) -> None:
        self._last = (self._last + text[-_KEPT:])[-_KEPT:]
        self._sink.write(text)

    def _close(self) -> None:
        self.pause()
        self._closed = True
        self._sink.discard(self)
        if self._partial:
            self._pass_on(self._partial + b"\n")
            self._partial = b""
        os.close(self._descriptor)
