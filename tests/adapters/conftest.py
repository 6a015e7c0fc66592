"""A scripted vendor and a line to it."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Protocol

import pytest

from adapters.auth import Auth, FixedAuth
from adapters.http import Http, ReadFault
from adapters.policy import Policy
from adapters.rates import TakeShared
from adapters.transport import Timeouts, Transport
from tests.adapters.loopback import Handler, Line, Vendor, read_fault

NOW_S = 1_700_000_000.0


class Serve(Protocol):
    """Start a vendor whose handler is given by the test."""

    async def __call__(self, handler: Handler, *, tls: ssl.SSLContext | None = None, read: bool = True) -> Vendor: ...


class Dial(Protocol):
    """Open a line to a vendor."""

    def __call__(
        self,
        url: str,
        *,
        auth: Auth | None = None,
        timeouts: Timeouts | None = None,
        policy: Policy | None = None,
        jitter: Callable[[], float] = lambda: 0.5,
        now: Callable[[], float] = lambda: NOW_S,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] | None = None,
        headers: Mapping[str, str] | None = None,
        read_fault: ReadFault = read_fault,
        shared_rates: TakeShared | None = None,
    ) -> Line: ...


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    listeners: list[asyncio.Server] = []
    vendors: list[Vendor] = []

    async def start(handler: Handler, *, tls: ssl.SSLContext | None = None, read: bool = True) -> Vendor:
        vendor = Vendor()
        listeners.append(await vendor.start(handler, tls=tls, read=read))
        vendors.append(vendor)
        return vendor

    yield start
    for listener in listeners:
        listener.close()
    for vendor in vendors:
        for protocol in vendor.numbers:
            await protocol.shutdown(0.01)  # 0 would mean: for ever


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    async with AsyncExitStack() as opened:

        def open_line(
            url: str,
            *,
            auth: Auth | None = None,
            timeouts: Timeouts | None = None,
            policy: Policy | None = None,
            jitter: Callable[[], float] = lambda: 0.5,
            now: Callable[[], float] = lambda: NOW_S,
            clock: Callable[[], float] | None = None,
            sleep: Callable[[float], Awaitable[None]] | None = None,
            headers: Mapping[str, str] | None = None,
            read_fault: ReadFault = read_fault,
            shared_rates: TakeShared | None = None,
        ) -> Line:
            slept: list[float] = []

            async def record(delay_s: float) -> None:
                slept.append(delay_s)

            transport = Transport(
                "acme",
                "main",
                timeouts=timeouts,
                policy=policy,
                shared_rates=shared_rates,
                now=now,
                clock=clock or (lambda: sum(slept)),
                sleep=sleep or record,
                jitter=jitter,
            )
            opened.push_async_callback(transport.close)
            http = Http(transport, url, auth=auth or FixedAuth({}), read_fault=read_fault, headers=headers)
            return Line(http, transport, slept)

        yield open_line


@pytest.fixture
def mute() -> Iterator[int]:
    """A port that takes connections and never says a word: no TLS handshake comes to its end there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def closed() -> Iterator[int]:
    """A port that nobody listens on, and that nobody else gets meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
