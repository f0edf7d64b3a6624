"""Only the platform may call an agent: every App has a certificate of the same CA, and none of them opens
another's agents.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from grpc import aio

PLATFORM_IDENTITY = "platform.middleware.io"
"""DNS SAN of the platform's client certificate (``api.names.PLATFORM_IDENTITY``)."""

_LOCAL = "unix:"
"""How gRPC names a caller that came by the agent's socket."""


class PlatformOnly(aio.ServerInterceptor):
    """Checks the caller's certificate before every call, health and reflection included."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        handler = await continuation(handler_call_details)
        if handler is None:
            return _refusing()
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                _guard_unary(handler.unary_unary), handler.request_deserializer, handler.response_serializer
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                _guard_stream(handler.unary_stream), handler.request_deserializer, handler.response_serializer
            )
        return _refusing()


async def check(context: aio.ServicerContext[Any, Any]) -> None:
    """Aborts the call of anybody but the platform, and of who is in the agent's own container: he could run the
    agent's programs himself."""
    if context.peer().startswith(_LOCAL):
        return
    names = {name.decode("utf-8", "replace") for name in _dns_names(context)}
    if PLATFORM_IDENTITY in names:
        return
    if not names:
        await context.abort(
            grpc.StatusCode.UNAUTHENTICATED,
            f"the caller's certificate names nobody; it must carry the DNS name {PLATFORM_IDENTITY}",
        )
    await context.abort(
        grpc.StatusCode.PERMISSION_DENIED,
        f"the caller is {', '.join(sorted(names))}; an agent accepts only {PLATFORM_IDENTITY}",
    )


def _dns_names(context: aio.ServicerContext[Any, Any]) -> list[bytes]:
    found = context.auth_context()
    # peer_dns holds DNS names alone; the other also URIs and addresses, which a caller could make look like a name.
    return list(found.get("peer_dns", ()))


def _guard_unary(call: Any) -> Any:
    async def guarded(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:
        await check(context)
        return await call(request, context)

    return guarded


def _guard_stream(call: Any) -> Any:
    if not inspect.isasyncgenfunction(call):
        return _guard_unary(call)

    async def guarded(request: Any, context: aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        await check(context)
        async for answer in call(request, context):
            yield answer

    return guarded


def _refusing() -> grpc.RpcMethodHandler[Any, Any]:
    async def refuse(request: bytes, context: aio.ServicerContext[Any, Any]) -> bytes:
        await check(context)
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the agent has no such method")
        return b""

    return grpc.unary_unary_rpc_method_handler(refuse)
