"""What a connection's policy does for those who call: shared reads, refusals in time, no harm to others."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest

from adapters import calls
from adapters.auth import FixedAuth
from adapters.base import Adapter, ListQuery, Page
from adapters.errors import CircuitOpen, Overloaded
from adapters.http import Http
from adapters.retry import Retry
from audiencegateway.v1 import destinations_pb2 as pb
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway.watching import Watching, watch
from tests.adapters.loopback import Gate, Handler, Vendor, answer, answers, read_fault, settle
from tests.gateway.scripted import NoSettings, refused, scripted, serving

Serve = Callable[[Handler], Awaitable[Vendor]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    running: list[tuple[asyncio.Server, Vendor]] = []

    async def start(handler: Handler) -> Vendor:
        vendor = Vendor()
        running.append((await vendor.start(handler, tls=None, read=True), vendor))
        return vendor

    yield start
    for listener, vendor in running:
        listener.close()
        for protocol in vendor.numbers:
            await protocol.shutdown(0.01)


class Shop:
    """An adapter's verbs over one vendor that answers anything."""

    def __init__(self, vendor: Vendor, name: str) -> None:
        shop = self
        self.url = vendor.url
        self.name = name
        self.http: Http | None = None

        async def get_destination(adapter: Any, destination_id: str, *, full: bool = False) -> pb.Destination:
            await shop.line(adapter).send("GET", destination_id, retry=Retry.READ)
            return pb.Destination(name=f"connections/{name}/destinations/{destination_id}")

        async def list_destinations(adapter: Any, query: ListQuery, cursor: str, size: int) -> Page[pb.Destination]:
            await shop.line(adapter).send("GET", "list", retry=Retry.READ)
            return Page([pb.Destination(name=f"connections/{name}/destinations/1")])

        async def create_destination(
            adapter: Any, destination: pb.Destination, *, validate_only: bool
        ) -> pb.Destination:
            await shop.line(adapter).send("POST", "new", retry=Retry.ONCE)
            return pb.Destination(name=f"connections/{name}/destinations/1")

        self.adapter: type[Adapter[NoSettings]] = scripted(
            name,
            get_destination=get_destination,
            list_destinations=list_destinations,
            create_destination=create_destination,
        )

    def line(self, adapter: Adapter[NoSettings]) -> Http:
        if self.http is None:
            self.http = Http(adapter.transport, self.url, auth=FixedAuth({}), read_fault=read_fault)
        return self.http

    def get(self, number: int = 1) -> pb.GetDestinationRequest:
        return pb.GetDestinationRequest(name=f"connections/{self.name}/destinations/{number}")


NEW = pb.CreateDestinationRequest(
    parent="connections/a",
    destination=pb.Destination(display_name="new"),
    request_id="1c2b1b8e-8a4e-4d0c-9b0b-3f6f3a3c9d11",
)


async def test_the_same_destination_asked_for_by_many_at_once_is_one_call_to_the_vendor(serve: Serve) -> None:
    gate = Gate()
    vendor = await serve(gate)
    shop = Shop(vendor, "a")
    async with serving(shop.adapter) as stubs:
        reading = [asyncio.ensure_future(stubs.destinations.GetDestination(shop.get())) for _ in range(64)]
        await gate.holds(1)
        async with asyncio.timeout(10):
            while shop.http is None or sum(len(one._followers) for one in shop.http._flights.values()) < 63:
                await settle()
        gate.open()
        assert len({one.name for one in await asyncio.gather(*reading)}) == 1
    assert len(vendor.received) == 1


async def test_a_suspended_connection_says_so_and_nothing_is_sent(serve: Serve) -> None:
    vendor = await serve(answers(answer(status=503)))
    shop = Shop(vendor, "a")
    async with serving(shop.adapter, sleep=lambda _: settle()) as stubs:
        for number in range(3):
            await refused(stubs.destinations.GetDestination(shop.get(number)))
        sent = len(vendor.received)
        told = await refused(stubs.destinations.GetDestination(shop.get()))
        created = await refused(stubs.destinations.CreateDestination(NEW))
    assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "VENDOR_CIRCUIT_OPEN")
    assert (created.code, created.reason) == (grpc.StatusCode.UNAVAILABLE, "VENDOR_CIRCUIT_OPEN")
    assert told.retry_after_s
    assert told.retry_after_s <= 5
    assert len(vendor.received) == sent == 5


async def test_a_start_that_was_not_sent_may_be_tried_again_under_its_request_id(serve: Serve) -> None:
    vendor = await serve(answers(answer({})))
    shop = Shop(vendor, "a")
    async with serving(shop.adapter) as stubs:
        await stubs.destinations.GetDestination(shop.get())
        assert shop.http is not None
        transport = shop.http.transport
        for _ in range(5):
            transport.breaker.note(succeeded=False, probe=False)
        suspended = await refused(stubs.destinations.CreateDestination(NEW))
        transport.reset()
        free, transport.places.free = transport.places.free, 0
        full = await refused(stubs.destinations.CreateDestination(NEW, timeout=0.5))
        transport.places.free = free
        assert (await stubs.destinations.CreateDestination(NEW)).name
    assert [suspended.reason, full.reason] == ["VENDOR_CIRCUIT_OPEN", "GATEWAY_OVERLOADED"]


async def test_a_list_over_all_connections_names_one_that_is_suspended_or_full(serve: Serve) -> None:
    vendor = await serve(answers(answer({})))
    shops = [Shop(vendor, name) for name in "abc"]
    request = pb.ListDestinationsRequest(parent="connections/-")
    async with serving(*(shop.adapter for shop in shops)) as stubs:
        await stubs.destinations.ListDestinations(request)
        suspended, full, _ = (shop.http.transport for shop in shops if shop.http)
        for _ in range(5):
            suspended.breaker.note(succeeded=False, probe=False)
        full.places.free = 0
        page = await stubs.destinations.ListDestinations(request, timeout=2.0)
    assert page.unreachable == ["connections/a", "connections/b"]
    assert [one.name for one in page.destinations] == ["connections/c/destinations/1"]


async def test_a_vendor_that_hangs_slows_no_other_connection(serve: Serve) -> None:
    gate = Gate()
    hanging, well = Shop(await serve(gate), "a"), Shop(await serve(answers(answer({}))), "b")
    async with serving(hanging.adapter, well.adapter) as stubs:
        stuck = [asyncio.ensure_future(stubs.destinations.GetDestination(hanging.get(n))) for n in range(16 + 64)]
        await gate.holds(16)
        async with asyncio.timeout(10):
            while hanging.http is None or len(hanging.http.transport.places._waiting) < 64:
                await settle()
        told = await refused(stubs.destinations.GetDestination(hanging.get(99)))
        assert (told.code, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "GATEWAY_OVERLOADED")
        assert told.retry_after_s
        for number in range(50):
            assert (await stubs.destinations.GetDestination(well.get(number))).name
        assert not any(one.done() for one in stuck)
        gate.open()
        await asyncio.gather(*stuck)


async def test_a_watch_bears_with_a_suspended_and_with_a_full_connection() -> None:
    failures: list[Exception] = [CircuitOpen("suspended", retry_after_s=5.0), Overloaded("full")]
    slept: list[float] = []
    polling: list[bool] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def get() -> ExportJob:
        polling.append(calls.current().polling)
        if len(polling) > 1 and failures:
            raise failures.pop(0)
        return ExportJob(state=ExportJob.SUCCEEDED if len(polling) > 1 else ExportJob.RUNNING)

    with Watching(sleep).follow("connections/a/exportJobs/1", get, 1.0) as poller:
        seen = [one.export_job.state async for one in watch(poller, 30.0)]
    assert seen == [ExportJob.RUNNING, ExportJob.SUCCEEDED]
    assert slept[1] >= 5.0
    assert polling == [True] * 4
