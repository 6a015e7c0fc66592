"""One gateway over the simulators of all registered vendors; every test starts from the seed state of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from adapters import registry
from adapters.base import Adapter
from adapters.sandbox import Sandbox
from gateway.connections import Connections
from gateway.sandbox import settings, simulated, urls
from gateway.server import build
from tests.gateway.scripted import Stubs, stubs

START_S = 1_790_000_000.0


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor under test: its adapter behind the gateway, its simulator, and what the simulator says of its seed."""

    id: str
    adapter: type[Adapter[Any]]
    simulator: Sandbox
    base_url: str
    stubs: Stubs

    @property
    def connection(self) -> str:
        return f"connections/{self.id}"

    def __getitem__(self, key: str) -> Any:
        if key not in self.simulator.suite:
            pytest.skip(f"{self.id} has no {key}")
        return _filled(self.simulator.suite[key], self.id)

    def can(self, *verbs: str) -> None:
        """Skip the test where the vendor lacks one of *verbs*; that it refuses properly is tested elsewhere."""
        for verb in verbs:
            if verb not in self.adapter.verbs():
                pytest.skip(f"{self.id} has no {verb}")

    def destination(self, key: str = "destination_id") -> str:
        return f"{self.connection}/destinations/{self[key]}"

    def job(self, job_id: str) -> str:
        return f"{self.connection}/exportJobs/{job_id}"

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
async def everything() -> AsyncIterator[dict[str, Vendor]]:
    vendors = registry.adapters()
    async with simulated(vendors) as running:
        configured = settings("127.0.0.1:0", running)
        connections = await Connections.open(configured.connections)
        for connection in connections:
            # Attempts stay what they are, only the waits between them are not waited for.
            connection.adapter.transport.sleep = lambda _: asyncio.sleep(0)
        gateway = build(configured, connections)
        address = await gateway.start()
        async with grpc.aio.insecure_channel(address) as channel:
            yield {
                id_: Vendor(id_, vendors[id_], running[id_][0], urls(running)[id_], stubs(channel)) for id_ in vendors
            }
        await gateway.stop()
        await connections.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--vendor", choices=sorted(registry.adapters()), help="test this vendor alone")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vendor" in metafunc.fixturenames:
        # The option is only known where pytest was called with this folder.
        alone = metafunc.config.getoption("vendor", default=None)
        metafunc.parametrize("vendor", [alone] if alone else sorted(registry.adapters()), indirect=True)


@pytest.fixture
def vendor(request: pytest.FixtureRequest, everything: dict[str, Vendor]) -> Iterator[Vendor]:
    chosen = everything[request.param]
    chosen.simulator.reset()
    chosen.simulator.set_switches(**chosen.simulator.suite.get("switches", {}))
    yield chosen
    chosen.simulator.reset()
