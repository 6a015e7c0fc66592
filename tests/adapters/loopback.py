"""A vendor on the loopback whose answers each test scripts, and a line to it whose clocks are recorded."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web
from multidict import CIMultiDictProxy

from adapters.errors import Fault
from adapters.http import Answer, Http
from adapters.retry import Retry
from adapters.transport import Transport

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came in."""

    method: str
    target: str
    """Path and query, byte for byte."""
    headers: CIMultiDictProxy[str]
    body: bytes
    connection: int
    """The number of the connection it came over, from 1."""


@dataclass(slots=True)
class Vendor:
    """A running server and what it saw."""

    url: str = ""
    connections: int = 0
    received: list[Received] = field(default_factory=list)
    handler_gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a handler ended because the client went away."""
    numbers: dict[Any, int] = field(default_factory=dict)

    async def start(self, handler: Handler, *, tls: ssl.SSLContext | None, read: bool) -> asyncio.Server:
        """Serve *handler*; *read* says whether it gets a request only once the body is there."""

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            body = b"".join([chunk async for chunk in request.content.iter_any()]) if read else b""
            number = self.numbers[request.protocol]
            self.received.append(Received(request.method, request.raw_path, request.headers, body, number))
            try:
                return await handler(request)
            except (asyncio.CancelledError, ConnectionError):
                # Cancelled while it waits, or told so by what it writes.
                self.handler_gone.set()
                raise

        server = web.Server(handle, handler_cancellation=True, access_log=None)

        def accept() -> asyncio.Protocol:
            protocol = server()
            self.connections += 1
            self.numbers[protocol] = self.connections
            return protocol

        listener = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0, ssl=tls)
        port = listener.sockets[0].getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        return listener


@dataclass(frozen=True, slots=True)
class Line:
    """An `Http` to a vendor; its sleeps are written down and take no time."""

    http: Http
    transport: Transport
    slept: list[float]


def read_fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """Read an error answer of the scripted vendor: a JSON object with the fields of `Fault`, or anything."""
    try:
        return msgspec.convert(msgspec.json.decode(body), Fault)
    except msgspec.MsgspecError:
        return Fault()


def answers(*responses: Callable[[], web.StreamResponse]) -> Handler:
    """Return a handler that gives *responses* in turn, and the last one from then on."""
    left = list(responses)

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return (left.pop(0) if len(left) > 1 else left[0])()

    return handler


def answer(
    value: object = None, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Callable[[], web.StreamResponse]:
    """Return a maker of a JSON answer."""
    return lambda: web.json_response(text=json.dumps(value), status=status, headers=headers)


async def drop(request: web.BaseRequest) -> web.StreamResponse:
    """Reset the connection without a word."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def silence(request: web.BaseRequest) -> web.StreamResponse:
    """Say nothing until the client goes away."""
    await asyncio.Event().wait()
    raise AssertionError


def half(status: int = 200, headers: Mapping[str, str] | None = None, *, chunked: bool = False) -> Handler:
    """Return a handler that breaks off in the middle of the body: `{"id"` of twice as many bytes."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers=headers)
        if chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = 10
        await response.prepare(request)
        await response.write(b'{"id"')
        assert request.transport is not None
        request.transport.close()
        return response

    return handler


def in_turn(*handlers: Handler) -> Handler:
    """Return a handler that is each of *handlers* in turn, and the last one from then on."""
    left = list(handlers)

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return await (left.pop(0) if len(left) > 1 else left[0])(request)

    return handler


async def send(http: Http, retry: Retry, **more: Any) -> Answer:
    """Send one call of a retry class, by a method that suits it."""
    method = {Retry.READ: "GET", Retry.IDEMPOTENT: "PUT", Retry.ONCE: "POST"}[retry]
    return await http.send(method, "x", retry=retry, **more)


class Gate:
    """A handler that keeps every request until it is opened, and counts them."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        """Of the requests that came, in their order."""
        self.under_way = 0
        self.most = 0
        """At once."""
        self._opened = asyncio.Event()
        self._changed = asyncio.Condition()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.paths.append(request.path)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        async with self._changed:
            self._changed.notify_all()
        try:
            await self._opened.wait()
        finally:
            self.under_way -= 1
        return web.json_response({})

    async def holds(self, count: int) -> None:
        """Wait until *count* requests are kept."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.under_way >= count)

    def open(self) -> None:
        """Answer what is kept, and what comes."""
        self._opened.set()


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)
