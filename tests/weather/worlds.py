"""One vendor's simulator and one connection to it, both standing still in time; and what the vendor then holds."""

import asyncio
import dataclasses
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import trustme
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from adapters import registry
from adapters.sandbox import Sandbox
from adapters.transport import Timeouts, Transport
from gateway.connections import Connection
from gateway.settings import connection_in_plain_text
from tests.weather.weathers import START_S

IMPATIENT = Timeouts(operation_s=3.2, attempt_s=1.0, connect_s=0.6, idle_s=3.0)
"""For weather that takes the time there is."""
BARE = frozenset(vars(Sandbox)) | {"clock", "documentation", "switches", "faults", "journal"}


class Time:
    """The gateway's clocks, moved by its own waits alone, which take none."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> float:
        return START_S + self.passed_s

    def clock(self) -> float:
        return self.passed_s

    async def wait(self, seconds: float) -> None:
        self.passed_s += seconds
        await asyncio.sleep(0)


class Names(AbstractResolver):
    """Finds every host on this machine, once it is `well`; before that, not even `localhost`."""

    def __init__(self) -> None:
        self.well = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if not self.well:
            raise OSError(f"no such host: {host}")
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@dataclasses.dataclass(slots=True)
class World:
    """A simulator, and the connection that leads to it."""

    vendor: str
    id: str
    """The connection's."""
    simulator: Sandbox
    time: Time = dataclasses.field(default_factory=Time)
    names: Names = dataclasses.field(default_factory=Names)

    def connection(self, base_url: str, timeouts: Timeouts | None = None) -> Connection:
        """Return a new connection to *base_url*, without a token, a breaker or a pace that anything has left there."""
        keys = {"id": self.id, "vendor": self.vendor, **self.simulator.connection_settings(base_url)}
        transport = Transport(
            self.vendor,
            self.id,
            timeouts=timeouts,
            now=self.time.now,
            clock=self.time.clock,
            sleep=self.time.wait,
            jitter=lambda: 0.0,
            resolver=self.names,
        )
        settings = connection_in_plain_text(keys).settings
        adapter = registry.adapters()[self.vendor](self.id, settings, transport)
        return Connection(id=self.id, vendor=self.vendor, display_name="", adapter=adapter, state_time_s=START_S)

    @property
    def suite(self) -> dict[str, Any]:
        return self.simulator.suite

    def requests(self) -> list[dict[str, Any]]:
        """Return what the vendor received, logins too."""
        return list(self.simulator.journal)

    def holds(self) -> dict[str, str]:
        """Return what the vendor holds, as texts by place."""
        found: dict[str, str] = {}
        theirs = {name: value for name, value in vars(self.simulator).items() if name not in BARE and name[0] != "_"}
        _flatten(theirs, "", found)
        return found


def world(vendor: str, id_: str) -> World:
    """Make a vendor at its seed state."""
    simulator = registry.sandbox(vendor)(frozen_at=START_S)
    simulator.set_switches(**simulator.suite.get("switches", {}))
    return World(vendor, id_, simulator)


def _flatten(value: Any, place: str, found: dict[str, str]) -> None:
    match value:
        case Mapping():
            inner = value
        case list() | tuple():
            inner = dict(enumerate(value))
        case set() | frozenset():
            inner = dict.fromkeys(sorted(map(repr, value)))
        case _ if hasattr(value, "hexdigest"):
            found[place] = value.hexdigest()
            return
        case _ if hasattr(value, "__dict__") and not callable(value):
            inner = vars(value)
        case _:
            found[place] = type(value).__name__ if callable(value) else repr(value)
            return
    found[place] = str(len(inner))
    for key, item in inner.items():
        _flatten(item, f"{place}/{key}", found)


# Ways to the vendor. Each yields the base URL, and what makes the way good again, where anything can.

Line = Callable[[World], AbstractAsyncContextManager[tuple[str, Callable[[], Any] | None]]]


@asynccontextmanager
async def good(world: World) -> AsyncIterator[tuple[str, None]]:
    """Nothing is wrong on the way."""
    base_url = await world.simulator.start()
    try:
        yield base_url, None
    finally:
        await world.simulator.stop()


@asynccontextmanager
async def nameless(world: World) -> AsyncIterator[tuple[str, Callable[[], Any]]]:
    """Nobody knows the host's address."""
    async with good(world) as (base_url, _):
        yield base_url.replace("127.0.0.1", "localhost"), lambda: setattr(world.names, "well", True)


@asynccontextmanager
async def refused(world: World) -> AsyncIterator[tuple[str, Callable[[], Any]]]:
    """Nobody listens."""
    async with _port(world, 0) as given:
        yield given


@asynccontextmanager
async def full(world: World) -> AsyncIterator[tuple[str, Callable[[], Any]]]:
    """Somebody listens, who takes no connection."""
    async with _port(world, 3) as given:
        yield given


@asynccontextmanager
async def untrusted(world: World) -> AsyncIterator[tuple[str, None]]:
    """The vendor shows a certificate that nobody has heard of."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    runner = web.AppRunner(world.simulator.app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield f"https://127.0.0.1:{runner.addresses[0][1]}", None
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _port(world: World, waiting: int) -> AsyncIterator[tuple[str, Callable[[], Any]]]:
    """Hold a port: without listening, or so that the queue of those who *wait* for it is full."""
    async with AsyncExitStack() as held:
        taken = held.enter_context(socket.socket())
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        if waiting:
            taken.listen(0)
        for _ in range(waiting):
            client = held.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))

        async def let_in() -> None:
            await held.aclose()
            await world.simulator.start(port=port)

        try:
            yield f"http://127.0.0.1:{port}", let_in
        finally:
            await world.simulator.stop()


LINES: Mapping[str, Line] = {
    "": good,
    "refused": refused,
    "untrusted": untrusted,
    "nameless": nameless,
    "full": full,
}
