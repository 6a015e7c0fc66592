"""A gateway over adapters that a test scripts, on a real port of this machine."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import grpc
import msgspec
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status

from adapters.base import Adapter
from adapters.errors import ApiError
from adapters.transport import Transport
from audiencegateway.v1.connections_pb2_grpc import ConnectionServiceStub
from audiencegateway.v1.destinations_pb2_grpc import DestinationServiceStub
from audiencegateway.v1.export_jobs_pb2_grpc import ExportJobServiceStub
from audiencegateway.v1.members_pb2_grpc import AudienceMemberServiceStub
from gateway.connections import Connection, Connections
from gateway.server import build
from gateway.settings import ConfiguredCaller, ServerSettings, Settings

T = TypeVar("T")
ARM = "custom"


class NoSettings(msgspec.Struct, frozen=True):
    """A scripted adapter needs none."""


class Stubs(NamedTuple):
    """The client side of every service, over one channel."""

    channel: Any
    connections: Any
    destinations: Any
    export_jobs: Any
    members: Any


def stubs(channel: grpc.aio.Channel) -> Stubs:
    return Stubs(
        channel,
        ConnectionServiceStub(channel),
        DestinationServiceStub(channel),
        ExportJobServiceStub(channel),
        AudienceMemberServiceStub(channel),
    )


def scripted(vendor: str = "scripted", **members: Any) -> type[Adapter[NoSettings]]:
    """Return an adapter class with these class attributes and verbs, and no other verb."""
    common = {
        "vendor": vendor,
        "Settings": NoSettings,
        "destination_fields": frozenset({"display_name", "description", "disabled", ARM}),
        "export_job_fields": frozenset({"display_name", "destination", "audiences", ARM}),
    }
    return type("ScriptedAdapter", (Adapter,), {**common, **members})


@asynccontextmanager
async def serving(
    *adapters: type[Adapter[NoSettings]],
    callers: Iterable[ConfiguredCaller] = (),
    sleep: Callable[[float], Any] | None = None,
    **server: Any,
) -> AsyncIterator[Stubs]:
    """Serve one connection per adapter, named as its vendor."""
    connections = []
    for adapter in adapters:
        transport = Transport(adapter.vendor, adapter.vendor)
        made = adapter(adapter.vendor, NoSettings(), transport)
        connections.append(
            Connection(id=adapter.vendor, vendor=adapter.vendor, display_name="", adapter=made, state_time_s=1.0)
        )
    settings = Settings(
        listen="127.0.0.1:0",
        callers=tuple(callers),
        server=ServerSettings(**{"shutdown_grace_s": 0.0, **server}),
        connections=(),
    )
    gateway = build(settings, Connections(connections), **({"sleep": sleep} if sleep else {}))
    address = await gateway.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            yield stubs(channel)
    finally:
        await gateway.stop()
        for connection in connections:
            await connection.adapter.transport.close()


class Refusal(NamedTuple):
    """An error as a client sees it."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]
    violations: list[tuple[str, str]]
    """Field and reason of each."""
    retry_after_s: float | None
    resource: str
    size: int


def refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """Read an error's details as a client does."""
    raw = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    status = Status.FromString(raw if isinstance(raw, bytes) else raw.encode())
    info, bad, retry, resource = ErrorInfo(), BadRequest(), RetryInfo(), ResourceInfo()
    for detail in status.details:
        for message in (info, bad, retry, resource):
            if detail.Is(message.DESCRIPTOR):
                detail.Unpack(message)
    return Refusal(
        error.code(),
        error.details() or "",
        info.reason,
        dict(info.metadata),
        [(violation.field, violation.reason) for violation in bad.field_violations],
        retry.retry_delay.ToMilliseconds() / 1000 if retry.HasField("retry_delay") else None,
        resource.resource_name,
        len(raw),
    )


async def refused(call: Any) -> Refusal:
    """Await a call that must be refused."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return refusal(error)
    raise AssertionError("the call was answered")


def raising(error: ApiError) -> Callable[..., Any]:
    """Return a verb that raises."""

    async def verb(self: object, *args: object, **kwargs: object) -> None:
        raise error

    return verb
