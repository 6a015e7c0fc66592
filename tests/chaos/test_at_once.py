"""Several processes over one ledger are asked the same at once: the vendor is asked once."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import grpc
import pytest

from adapters import registry
from adapters.sandbox import Sandbox
from tests.chaos.gateway import Gateway, configure
from tests.chaos.operations import Operation, operations
from tests.chaos.store import opened
from tests.chaos.vendors import Moment, Script, vendor
from tests.conformance.client import Stubs, refusal, stubs

CONNECTIONS = 12
"""So many that all of them go to the same one of two workers once in two thousand runs, and then nothing fails."""
IDS = 3


class Counting(Script):
    """Counts the writes that were applied."""

    def __init__(self) -> None:
        self.writes = 0

    def at(self, moment: Moment, vendor: str, route: str, answer: bytes = b"") -> None:
        self.writes += moment == "applied"


class Vendors(NamedTuple):
    """All simulators, and what they were made to do."""

    simulators: dict[str, Sandbox]
    urls: dict[str, str]
    script: Counting

    @property
    def operations(self) -> list[Operation]:
        return operations(self.simulators)


@pytest.fixture
async def vendors() -> AsyncIterator[Vendors]:
    made = Vendors({}, {}, Counting())
    async with AsyncExitStack() as stack:
        for id_ in registry.adapters():
            simulator = vendor(id_)()
            simulator.set_switches(**simulator.suite.get("switches", {}) | {"waiting_s": 0.0, "running_s": 0.0})
            simulator.script = made.script
            made.simulators[id_], made.urls[id_] = simulator, await simulator.start()
            stack.push_async_callback(simulator.stop)
        yield made


async def answer(operation: Operation, gateway: Stubs, request_id: str) -> Any:
    """Repeat while another call has the id."""
    while True:
        try:
            return await operation.call(gateway, request_id)
        except grpc.aio.AioRpcError as error:
            if refusal(error).reason != "REQUEST_IN_PROGRESS":
                raise


async def ask_at_once(vendors: Vendors, gateways: Sequence[Stubs]) -> None:
    """Ask all of them for the same, for each operation; each is made once, and all hear of the same."""
    for operation in vendors.operations:
        before = vendors.script.writes
        await operation.call(gateways[0], str(uuid4()))
        alone = vendors.script.writes - before
        assert alone >= 1
        for _ in range(IDS):
            before, request_id = vendors.script.writes, str(uuid4())
            answers = await asyncio.gather(*(answer(operation, gateway, request_id) for gateway in gateways))
            assert vendors.script.writes - before == alone, operation
            assert len({found.name for found in answers}) == 1
            assert "/g~" not in answers[0].name


@pytest.mark.skipif("TEST_POSTGRES_URL" not in os.environ, reason="TEST_POSTGRES_URL is not set")
async def test_two_replicas_over_one_server_make_the_same_request_once(tmp_path: Path, vendors: Vendors) -> None:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(opened("postgresql", tmp_path, os.environ["TEST_POSTGRES_URL"]))
        environ = configure(tmp_path, store, vendors.urls)
        replicas = [Gateway(tmp_path, environ) for _ in range(2)]
        for replica in replicas:
            stack.push_async_callback(replica.close)
        # Both at once: the tables are made by one of them.
        serving = await asyncio.gather(*(replica.up() for replica in replicas))
        await ask_at_once(vendors, serving * 2)


async def test_two_workers_over_one_file_make_the_same_request_once(tmp_path: Path, vendors: Vendors) -> None:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(opened("sqlite", tmp_path, ""))
        gateway = Gateway(tmp_path, configure(tmp_path, store, vendors.urls), "--workers", "2")
        stack.push_async_callback(gateway.close)
        await gateway.up()
        alone = [("grpc.use_local_subchannel_pool", 1)]
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(gateway.address, alone))
            for _ in range(CONNECTIONS)
        ]
        await ask_at_once(vendors, [stubs(channel) for channel in channels])
        records = [json.loads(line) for line in gateway.lines]
        assert {record["worker"] for record in records if record["logger"] == "gateway.access"} == {1, 2}
