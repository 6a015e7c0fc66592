"""A gateway whose database is not there: it starts, answers reads, sends nothing, and works once the database is."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from sqlalchemy.engine import make_url

from adapters import registry
from audiencegateway.v1.destinations_pb2 import ListDestinationsRequest
from tests.chaos.operations import Operation, operations
from tests.conformance.client import Stubs, refused, stubs
from tests.gateway.acme import toml
from tests.gateway.processes import LIMIT_S, connection, requests, running, vendor
from tests.gateway.stores import SERVER, database


@pytest.fixture(scope="module")
def simulator() -> Iterator[str]:
    with running("simulate", vendor()) as process:
        yield process.line()["simulators"][vendor()]


@pytest.fixture
def port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        number: int = unused.getsockname()[1]
    return number


@asynccontextmanager
async def served(folder: Path, simulator: str, url: str) -> AsyncIterator[Stubs]:
    keys, environ = connection(simulator, id=vendor())
    ledger = {"store": "postgresql", "url": {"env": "TEST_LEDGER_URL"}, "reconcile_every_s": 0.1}
    document = {"listen": "127.0.0.1:0", "ledger": ledger, "connections": [keys]}
    config = folder / "gateway.toml"
    config.write_text("".join(f"{name} = {toml(value)}\n" for name, value in document.items()))
    with running("serve", "--config", str(config), TEST_LEDGER_URL=url, **environ) as process:
        address = (await asyncio.to_thread(process.record, "ready"))["address"]
        async with grpc.aio.insecure_channel(address) as channel:
            yield stubs(channel)


def start() -> Operation:
    found = operations({vendor(): registry.sandbox(vendor())()})
    return next(operation for operation in found if operation.verb == "create_export_job")


def starts(simulator: str) -> int:
    """Return how many calls the simulator got that change something, logins aside."""
    logins = registry.sandbox(vendor())().suite.get("logins", ())
    return len([one for one in requests(simulator) if one["method"] != "GET" and one["path"] not in logins])


async def reads_alone(stubs: Stubs, simulator: str, request_id: str) -> None:
    """See that what reads is answered, and what writes is refused and not sent."""
    before = starts(simulator)
    listed = await stubs.destinations.ListDestinations(ListDestinationsRequest(parent=f"connections/{vendor()}"))
    answer = await refused(start().call(stubs, request_id))

    assert listed.destinations
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert answer.retry_after_s
    assert starts(simulator) == before


async def test_serve_without_its_database_reads_and_sends_nothing(tmp_path: Path, simulator: str, port: int) -> None:
    url = f"postgresql://nobody:hunter2@127.0.0.1:{port}/ledger"
    async with served(tmp_path, simulator, url) as stubs:
        await reads_alone(stubs, simulator, str(uuid4()))


@pytest.mark.skipif(not SERVER, reason="TEST_POSTGRES_URL is not set")
async def test_serve_writes_as_soon_as_its_database_is_there(tmp_path: Path, simulator: str, port: int) -> None:
    request_id = str(uuid4())
    async with database() as url:
        there = make_url(url)
        here = there.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        async with served(tmp_path, simulator, here) as stubs:
            await reads_alone(stubs, simulator, request_id)
            before = starts(simulator)
            async with forwarding(port, there.host or "127.0.0.1", there.port or 5432):
                first = await answered(stubs, request_id)
                again = await answered(stubs, request_id)
            sent = starts(simulator)
            await reads_alone(stubs, simulator, str(uuid4()))

    assert first.name == again.name
    assert sent == before + 1


async def answered(stubs: Stubs, request_id: str) -> Any:
    """Make the start as a caller does who repeats what was refused for now."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                return await start().call(stubs, request_id)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise


@asynccontextmanager
async def forwarding(port: int, host: str, to: int) -> AsyncIterator[None]:
    """Have a server listen on *port*; at the end, connections end as well."""
    ends: list[asyncio.StreamWriter] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, to)
        ends.extend((writer, back))
        await asyncio.gather(copy(reader, back), copy(there, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        for end in ends:
            end.close()
