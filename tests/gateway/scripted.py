"""A gateway over adapters that a test scripts, on a real port of this machine."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc
import msgspec

from adapters.base import Adapter
from adapters.errors import ApiError
from adapters.transport import Transport
from gateway.connections import Connection, Connections
from gateway.server import build
from gateway.settings import ConfiguredCaller, ServerSettings, Settings
from tests.conformance.client import Refusal, Stubs, refusal, refused, stubs

__all__ = ["NoSettings", "Refusal", "Stubs", "raising", "refusal", "refused", "scripted", "serving", "stubs"]

T = TypeVar("T")
ARM = "custom"


class NoSettings(msgspec.Struct, frozen=True):
    """A scripted adapter needs none."""


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
    gateway = build(settings, Connections(connections), sleep=sleep or asyncio.sleep)
    address = await gateway.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            yield stubs(channel)
    finally:
        await gateway.stop()
        for connection in connections:
            await connection.adapter.transport.close()


def raising(error: ApiError) -> Callable[..., Any]:
    """Return a verb that raises."""

    async def verb(self: object, *args: object, **kwargs: object) -> None:
        raise error

    return verb
