"""One gateway for each test, over the simulator of one registered vendor, which is at its seed state."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from aiohttp.abc import AbstractResolver
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from adapters import registry
from adapters.base import Adapter
from adapters.sandbox import Sandbox
from adapters.transport import Timeouts, Transport
from gateway.connections import Connection, Connections
from gateway.sandbox import Running, settings, simulated
from gateway.server import build

from .client import Stubs, stubs
from .results import Results, label

IMPATIENT = Timeouts(operation_s=1.2, attempt_s=0.5, connect_s=0.3, idle_s=1.0)
NEVER_S = 600
"""How long a vendor takes that does not answer."""


class Time:
    """Waits between calls to the vendor, which are not waited for: they only move the clock."""

    def __init__(self) -> None:
        self.waits_s: list[float] = []
        self.passed_s = 0.0
        """What a test says has passed."""

    def clock(self) -> float:
        return time.monotonic() + sum(self.waits_s) + self.passed_s

    def now(self) -> float:
        return time.time() + self.passed_s

    async def sleep(self, seconds: float) -> None:
        self.waits_s.append(seconds)
        await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor under test: its adapter behind the gateway, its simulator, and what the simulator says of its seed."""

    id: str
    adapter: type[Adapter[Any]]
    simulator: Sandbox
    base_url: str
    stubs: Stubs
    opened: Adapter[Any]
    """The adapter that this test's gateway calls."""
    time: Time
    """Of its calls to the vendor."""
    asked: set[str] = field(default_factory=set)
    """The verbs that the test is about, as far as it says."""

    @property
    def waits_s(self) -> list[float]:
        """How long calls to the vendor have waited between attempts."""
        return self.time.waits_s

    @property
    def connection(self) -> str:
        return f"connections/{self.id}"

    def __getitem__(self, key: str) -> Any:
        if key not in self.simulator.suite:
            pytest.skip(f"{self.id} has no {key}")
        return _filled(self.simulator.suite[key], self.id)

    def can(self, *verbs: str) -> None:
        """Skip the test where the vendor lacks one of *verbs*; that it refuses properly is in test_refusals.py."""
        self.asked.update(verbs)
        for verb in verbs:
            if verb not in self.adapter.verbs():
                pytest.skip(f"{self.id} has no {verb}")

    def destination(self, key: str = "destination_id") -> str:
        return f"{self.connection}/destinations/{self[key]}"

    def job(self, job_id: str) -> str:
        return f"{self.connection}/exportJobs/{job_id}"

    @contextmanager
    def impatience(self) -> Iterator[None]:
        """Let calls to the vendor end soon that are not answered."""
        transport, patient = self.opened.transport, self.opened.transport.timeouts
        transport.timeouts = IMPATIENT
        try:
            yield
        finally:
            transport.timeouts = patient

    def message(self, key: str, into: Message) -> Any:
        """Return the suite's message *key* as a protobuf message."""
        return ParseDict(self[key], into)

    def requests(self, *methods: str) -> list[dict[str, Any]]:
        """Return what the simulator received, by method, but for what only fetched a credential."""
        logins = self.simulator.suite.get("logins", ())
        received = [entry for entry in self.simulator.journal if entry["path"] not in logins]
        return [entry for entry in received if not methods or entry["method"] in methods]


def _filled(value: Any, connection: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, connection) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, connection) for item in value]
    return value.replace("{connection}", connection) if isinstance(value, str) else value


@pytest.fixture(scope="session")
async def simulators() -> AsyncIterator[Running]:
    async with simulated(registry.adapters()) as running:
        yield running


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--vendor", choices=sorted(registry.adapters()), help="test this vendor alone")
    parser.addoption("--results", type=Path, metavar="FILE", help="write what became of each test, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    # The options are only known where pytest was called with this folder.
    if file := config.getoption("results", default=None):
        config.pluginmanager.register(Results(file))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vendor" in metafunc.fixturenames:
        alone = metafunc.config.getoption("vendor", default=None)
        metafunc.parametrize("vendor", [alone] if alone else sorted(registry.adapters()), indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and "simulators" in item.fixturenames:
            label(item)


@pytest.fixture
async def vendor(request: pytest.FixtureRequest, simulators: Running) -> AsyncIterator[Vendor]:
    """Start from nothing: no token, no breaker, no pace and no answer is left of the test before."""
    id_ = request.param
    simulator, base_url = simulators[id_]
    simulator.reset()
    simulator.set_switches(**simulator.suite.get("switches", {}))
    async with reached(id_, simulator, base_url) as tested:
        yield tested
    request.node.user_properties.append(("verbs", sorted(tested.asked)))
    simulator.reset()


@asynccontextmanager
async def reached(
    id_: str, simulator: Sandbox, base_url: str, *, resolver: AbstractResolver | None = None
) -> AsyncIterator[Vendor]:
    """Serve a gateway that looks for the vendor at *base_url*, wherever the simulator is."""
    configured = settings("127.0.0.1:0", {id_: (simulator, base_url)})
    (entry,) = configured.connections
    passing = Time()
    transport = Transport(
        entry.vendor,
        entry.id,
        resolver=resolver,
        timeouts=Timeouts(**msgspec.structs.asdict(entry.timeouts)),
        policy=entry.policy,
        rates=entry.rates,
        now=passing.now,
        clock=passing.clock,
        sleep=passing.sleep,
    )
    adapter = registry.adapters()[id_](id_, entry.settings, transport)
    connections = Connections(
        [Connection(id=id_, vendor=id_, display_name=entry.display_name, adapter=adapter, state_time_s=time.time())]
    )
    gateway = build(configured, connections)
    address = await gateway.start()
    async with grpc.aio.insecure_channel(address) as channel:
        yield Vendor(
            id=id_,
            adapter=registry.adapters()[id_],
            simulator=simulator,
            base_url=base_url,
            stubs=stubs(channel),
            opened=adapter,
            time=passing,
        )
    await gateway.stop()
    await transport.close()
