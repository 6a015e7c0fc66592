"""What every call passes on its way in, outermost first, as one interceptor: four chained ones cost 15 % of a call.

access_log → catch_all → deadline → identity → authorization → validation → the service's method

Handlers take and give bytes, so that even a request that can't be decoded, or an answer that can't be encoded, ends in
one of our statuses.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from adapters import calls
from adapters.errors import Missing, Overloaded, VendorError
from gateway import validation
from gateway.callers import Callers
from gateway.connections import Connections
from gateway.interceptors import catch_all, deadline, identity
from gateway.interceptors.access_log import RECORD, Record
from gateway.methods import METHODS, Method, connection_id_of

T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]
Handler = Any
"""A grpc.RpcMethodHandler: its types know the synchronous kind only."""
Behaviour = Callable[[Any, Context], Awaitable[Message]]


class Pipeline(grpc.aio.ServerInterceptor):
    """Wraps each of our methods once; health and reflection pass untouched."""

    def __init__(
        self, callers: Callers, connections: Connections, *, default_deadline_s: float, max_concurrent_calls: int
    ) -> None:
        self._callers = callers
        self._connections = connections
        self._default_deadline_s = default_deadline_s
        self._max_concurrent_calls = max_concurrent_calls
        self._concurrent_calls = 0
        self._handlers: dict[str, Handler] = {}

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]], details: grpc.HandlerCallDetails
    ) -> Handler:
        """Return the wrapped handler of the method called."""
        handler = self._handlers.get(details.method)
        if handler is None:
            handler = await continuation(details)
            if handler is not None and details.method in METHODS:
                handler = self._handlers[details.method] = self._wrap(METHODS[details.method], handler)
        return handler

    def _wrap(self, method: Method, handler: Handler) -> Handler:
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(self._upload(method, handler.stream_unary))
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._stream(method, handler.unary_stream))
        return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary))

    def _unary(self, method: Method, behaviour: Behaviour) -> Callable[[bytes, Context], Awaitable[bytes]]:
        async def serve(raw: bytes, context: Context) -> bytes:
            async def answer() -> bytes:
                return (await behaviour(self._admitted(method, raw), context)).SerializeToString()

            return await self._served(method, context, answer)

        return serve

    def _stream(
        self, method: Method, behaviour: Callable[[Any, Context], AsyncGenerator[Message, None]]
    ) -> Callable[[bytes, Context], Awaitable[None]]:
        async def serve(raw: bytes, context: Context) -> None:
            async def answer() -> None:
                # write(), not a generator for gRPC: one that is blocked in a send would be closed from another task.
                async with aclosing(behaviour(self._admitted(method, raw), context)) as messages:
                    begun = False
                    async for message in messages:
                        written = message.SerializeToString()
                        if not begun:
                            # From here on it takes as long as there is news, and its reader likes.
                            calls.current().leave()
                            begun = True
                        await context.write(written)

            await self._served(method, context, answer)

        return serve

    def _upload(
        self, method: Method, behaviour: Behaviour
    ) -> Callable[[AsyncIterator[bytes], Context], Awaitable[bytes]]:
        async def serve(raws: AsyncIterator[bytes], context: Context) -> bytes:
            async def answer() -> bytes:
                # What the stream is about stands in its header, so the service authorizes it.
                return (await behaviour(_requests(method, raws), context)).SerializeToString()

            return await self._served(method, context, answer)

        return serve

    def _admitted(self, method: Method, raw: bytes) -> Message:
        request = method.request.FromString(raw)
        RECORD.get().request_id = getattr(request, "request_id", "")
        about = method.about(request)
        identity.authorize(self._callers, about)
        validation.validate(request, lambda: self._vendor(about))
        return request

    def _vendor(self, name: str) -> str:
        """Return the vendor of the connection that a name claims to be of; empty where there is none."""
        with suppress(Missing):
            return self._connections.get(connection_id_of(name) or "").adapter.vendor
        return ""

    async def _served(self, method: Method, context: Context, answer: Callable[[], Awaitable[T]]) -> T:
        ends_at, limit = deadline.of(method.name, context.time_remaining(), self._default_deadline_s)
        record = Record(method, calls.Call(ends_at))
        calls.CURRENT.set(record.call)
        RECORD.set(record)

        async def within() -> T:
            if self._concurrent_calls > self._max_concurrent_calls:
                raise Overloaded(f"{self._max_concurrent_calls} calls are being served already")
            identity.identify(self._callers, context, record)
            try:
                if limit is None:
                    reply = await answer()
                else:
                    async with limit:
                        reply = await answer()
            except VendorError as error:
                self._learn(error, record)
                raise
            if record.call.vendor_calls and record.connection:
                self._connections.get(record.connection).note(None)
            return reply

        self._concurrent_calls += 1
        try:
            return await catch_all.guarded(within, context, record)
        finally:
            self._concurrent_calls -= 1

    def _learn(self, error: VendorError, record: Record) -> None:
        """Say on *error* whose it is, and let the connection learn from it how the vendor takes the credentials."""
        # Of a list over all connections some errors are nobody's: nothing may stand in for them.
        with suppress(Missing):
            connection = self._connections.get(error.connection or record.connection)
            error.connection, error.vendor = connection.id, error.vendor or connection.vendor
            connection.note(error)


async def _requests(method: Method, raws: AsyncIterator[bytes]) -> AsyncIterator[Message]:
    call, coming = calls.current(), aiter(raws)
    while True:
        call.leave()
        try:
            raw = await anext(coming)
        except StopAsyncIteration:
            return
        finally:
            call.back()
        yield method.request.FromString(raw)
