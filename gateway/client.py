"""For callers in Python: channels that repeat what is safe to repeat, and requests that can be told again.

    with client.channel("gateway:50051", credentials) as channel:
        ExportJobServiceStub(channel).CreateExportJob(request, timeout=30)

A mutating call without a `request_id` gets one, once a call, so that gRPC's own second attempt at it, of which nobody
hears, is the same request to the gateway. Who repeats a call, or resumes an upload, sets the id: two calls, two ids.
This module needs grpc, protobuf and the stubs, and nothing else of the gateway's.
"""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from importlib.resources import files
from typing import Any, TypeVar
from uuid import uuid4

import grpc
from google.protobuf.message import Message

M = TypeVar("M", bound=Message)
Options = Sequence[tuple[str, Any]]
Requests = AsyncIterable[M] | Iterable[M]
Details = grpc.ClientCallDetails
Request = Any
"""Any message of the contract's that is sent."""
Answer = Any
"""What gRPC makes of a call; passed on as it is."""
Call = Callable[[Details, Any], Answer]
AioCall = Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Answer]]

KEEPALIVE_MS = 30_000
"""The gateway bears pings every 20 s."""
KEEPALIVE_TIMEOUT_MS = 10_000
MAX_SENT_BYTES = 4 * 1024 * 1024
"""What the gateway takes unless it is configured otherwise: more is refused here, with the same code."""
MAX_RECEIVED_BYTES = 16 * 1024 * 1024
"""A page is cut at 3 MiB, but for a single resource that is larger."""


def service_config() -> str:
    """Return the service config as JSON: what is repeated on UNAVAILABLE, and how often."""
    return (files("audiencegateway.v1") / "service_config.json").read_text("utf-8")


def options() -> Options:
    """Return the options that `channel` and `aio_channel` give a channel."""
    return (
        ("grpc.service_config", service_config()),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_send_message_length", MAX_SENT_BYTES),
        ("grpc.max_receive_message_length", MAX_RECEIVED_BYTES),
    )


def channel(address: str, credentials: grpc.ChannelCredentials | None = None, more: Options = ()) -> grpc.Channel:
    """Return a channel for the stubs; without *credentials* in clear. *more* are options that win over ours."""
    chosen = (*options(), *more)
    opened = (
        grpc.secure_channel(address, credentials, chosen) if credentials else grpc.insecure_channel(address, chosen)
    )
    return grpc.intercept_channel(opened, RequestIds())


def aio_channel(
    address: str, credentials: grpc.ChannelCredentials | None = None, more: Options = ()
) -> grpc.aio.Channel:
    """Return the same for grpc.aio. Call it inside a running loop."""
    chosen = (*options(), *more)
    ours = (AioRequestIds(), AioUploadIds())
    if credentials is None:
        return grpc.aio.insecure_channel(address, chosen, interceptors=ours)
    return grpc.aio.secure_channel(address, credentials, chosen, interceptors=ours)


def identified(message: M) -> M:
    """Return *message* if it has a request_id or is none that may have one, else a copy with a new one."""
    if (place := _place(message)) is None or place.request_id:
        return message
    # A copy: the same object may be sent again for another call, which would then be taken for this one.
    made = type(message)()
    made.CopyFrom(message)
    _place(made).request_id = str(uuid4())
    return made


def _place(message: Request) -> Request:
    """Return what of *message* has the request_id: itself, its header, or None."""
    fields = message.DESCRIPTOR.fields_by_name
    if "request_id" in fields:
        return message
    return _place(message.header) if "header" in fields and message.HasField("header") else None


class RequestIds(grpc.UnaryUnaryClientInterceptor, grpc.StreamUnaryClientInterceptor):
    """Gives every mutating call of a channel a request_id that has none."""

    def intercept_unary_unary(self, continuation: Call, client_call_details: Details, request: Request) -> Answer:
        return continuation(client_call_details, identified(request))

    def intercept_stream_unary(
        self, continuation: Call, client_call_details: Details, request_iterator: Iterator[Request]
    ) -> Answer:
        return continuation(client_call_details, map(identified, request_iterator))


class AioRequestIds(grpc.aio.UnaryUnaryClientInterceptor):
    """The same for grpc.aio, which wants an object for each kind of call."""

    async def intercept_unary_unary(
        self, continuation: AioCall, client_call_details: grpc.aio.ClientCallDetails, request: Request
    ) -> Answer:
        return await continuation(client_call_details, identified(request))


class AioUploadIds(grpc.aio.StreamUnaryClientInterceptor):
    """The same for uploads."""

    async def intercept_stream_unary(
        self,
        continuation: AioCall,
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: Requests[Request],
    ) -> Answer:
        return await continuation(client_call_details, _all_identified(request_iterator))


async def _all_identified(messages: Requests[M]) -> AsyncIterator[M]:
    if isinstance(messages, AsyncIterable):
        async for message in messages:
            yield identified(message)
    else:
        for message in messages:
            yield identified(message)
