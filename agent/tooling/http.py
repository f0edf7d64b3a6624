"""The ``http`` action: one HTTP/1.1 request. Written here because ``http.client`` blocks and costs 2 MiB."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass

from agent.tooling.failure import StepError

_URL = re.compile(r"^http://(?P<host>\[[0-9A-Fa-f:]+\]|[^/:@?#]+)(?::(?P<port>\d+))?(?P<path>[/?][^#\s]*)?$")
_LARGEST_BODY = 8 * 1024 * 1024


@dataclass(frozen=True)
class Response:
    status: int
    body: str


async def request(method: str, url: str, headers: Mapping[str, str], body: str) -> Response:
    """Raises StepError; the deadline is the caller's."""
    match = _URL.match(url)
    if match is None:
        raise StepError(f"url {url!r} must look like http://host:port/path (https is not spoken)")
    for name, value in headers.items():
        if re.search(r"[\r\n:]", name) or re.search(r"[\r\n]", value):
            raise StepError(f"header {name!r} holds a line break")
    host = match["host"]
    port = int(match["port"] or 80)
    try:
        reader, writer = await asyncio.open_connection(host.strip("[]"), port)
    except OSError as error:
        raise StepError(f"cannot connect to {host}:{port}: {error.strerror or error}") from error
    try:
        path = match["path"] or "/"
        content = body.encode()
        lines = [f"{method} {path if path.startswith('/') else '/' + path} HTTP/1.1", f"Host: {host}:{port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += ["Connection: close", f"Content-Length: {len(content)}", "", ""]
        writer.write("\r\n".join(lines).encode() + content)
        await writer.drain()
        return await _read_response(reader, method)
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        raise StepError(f"{host}:{port} gave no complete HTTP answer: {error}") from error
    finally:
        writer.transport.abort()


async def _read_response(reader: asyncio.StreamReader, method: str) -> Response:
    status_line = (await reader.readuntil(b"\n")).split()
    if len(status_line) < 2 or not status_line[0].startswith(b"HTTP/"):
        raise ValueError("the first line is no HTTP status line")
    status = int(status_line[1])
    headers: dict[str, str] = {}
    while (line := (await reader.readuntil(b"\n")).strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    if method == "HEAD" or status in (204, 304):
        return Response(status, "")
    if "chunked" in headers.get("transfer-encoding", "").lower():
        content = await _read_chunks(reader)
    elif "content-length" in headers:
        length = int(headers["content-length"])
        _check_size(length)
        content = await reader.readexactly(length)
    else:
        content = await _read_to_end(reader)
    return Response(status, content.decode("utf-8", "replace"))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    content = bytearray()
    while (size := int((await reader.readuntil(b"\n")).split(b";")[0], 16)) > 0:
        _check_size(len(content) + size)
        content += await reader.readexactly(size)
        await reader.readuntil(b"\n")
    return bytes(content)


async def _read_to_end(reader: asyncio.StreamReader) -> bytes:
    content = bytearray()
    while data := await reader.read(65536):
        content += data
        _check_size(len(content))
    return bytes(content)


def _check_size(size: int) -> None:
    if size > _LARGEST_BODY:
        raise ValueError(f"its body is larger than {_LARGEST_BODY} bytes")
