"""What every answer says of itself in its trailing metadata: time in the gateway, calls to the vendor, waits here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from adapters import calls
from adapters.base import Download
from adapters.errors import NotFound, Unavailable
from audiencegateway.v1.destinations_pb2 import Destination, GetDestinationRequest, ListDestinationsRequest
from audiencegateway.v1.export_jobs_pb2 import (
    CreateExportJobRequest,
    DownloadExportJobRequest,
    DownloadHeader,
    ExportJob,
    WaitExportJobRequest,
    WatchExportJobRequest,
)
from audiencegateway.v1.members_pb2 import UploadAudienceMembersRequest
from gateway.interceptors.access_log import OVERHEAD, VENDOR_CALLS, WAIT
from tests.gateway.scripted import scripted, serving

DESTINATION = "connections/scripted/destinations/1"
JOB = "connections/scripted/exportJobs/1"
AWHILE_S = 0.05
GET = GetDestinationRequest(name=DESTINATION)


async def awhile() -> None:
    """Let time pass."""
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(AWHILE_S, over.set)
    await over.wait()


async def asked(count: int = 1) -> None:
    """Be at the vendor, for a while."""
    call = calls.current()
    call.vendor_calls += count
    call.leave()
    await awhile()
    call.back()


async def trailers(call: Any) -> dict[str, str]:
    """Let a call end, however it does, and return its trailing metadata."""
    try:
        if hasattr(call, "read"):
            while await call.read() is not grpc.aio.EOF:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return {key: str(value) for key, value in error.trailing_metadata() or ()}
    return {key: str(value) for key, value in await call.trailing_metadata() or ()}


async def timed(call: Any) -> tuple[float, float, dict[str, str]]:
    """Return what the gateway says it took itself, what the whole took, in ms, and all trailing metadata."""
    clock = asyncio.get_running_loop().time
    started = clock()
    said = await trailers(call)
    return float(said[OVERHEAD]), (clock() - started) * 1000, said


class Vendor:
    """Verbs that take their time, here or there."""

    async def get_destination(self: Any, destination_id: str, *, full: bool) -> Destination:
        await asked(3)
        return Destination(name=DESTINATION)

    async def list_destinations(self: Any, *_: Any) -> Any:
        await asyncio.gather(asked(), asked())
        raise self.transport.named(Unavailable("503"))

    async def get_export_job(self: Any, export_job_id: str, *, full: bool) -> ExportJob:
        await asked()
        return ExportJob(name=JOB, state=ExportJob.SUCCEEDED)

    async def create_export_job(self: Any, export_job: ExportJob, *, marker: str, validate_only: bool) -> ExportJob:
        await asked()
        return ExportJob(name=JOB)

    @asynccontextmanager
    async def download_export_job(self: Any, export_job_id: str, *, artifact_id: str, offset: int) -> Any:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"a"
            await awhile()
            yield b"b"

        yield Download(DownloadHeader(), chunks())


SCRIPTED = scripted(**{name: value for name, value in vars(Vendor).items() if not name.startswith("_")})


async def test_time_at_the_vendor_is_none_of_the_gateways_and_calls_are_counted() -> None:
    async with serving(SCRIPTED) as stubs:
        overhead_ms, whole_ms, said = await timed(stubs.destinations.GetDestination(GET))
    assert 0 < overhead_ms <= whole_ms - AWHILE_S * 1000
    assert said[VENDOR_CALLS] == "3"
    assert WAIT not in said


async def test_time_in_the_gateway_is() -> None:
    async def get_destination(self: object, destination_id: str, *, full: bool) -> Destination:
        await awhile()
        return Destination(name=DESTINATION)

    async with serving(scripted(get_destination=get_destination)) as stubs:
        overhead_ms, _, said = await timed(stubs.destinations.GetDestination(GET))
    assert overhead_ms >= AWHILE_S * 1000
    assert said[VENDOR_CALLS] == "0"


async def test_an_error_says_the_same_beside_its_details() -> None:
    async with serving(SCRIPTED) as stubs:
        request = ListDestinationsRequest(parent="connections/scripted")
        overhead_ms, whole_ms, said = await timed(stubs.destinations.ListDestinations(request))
    # Two calls at once are one while.
    assert 0 < overhead_ms <= whole_ms - AWHILE_S * 1000
    assert said[VENDOR_CALLS] == "2"
    assert "grpc-status-details-bin" in said


async def test_a_list_of_all_connections_counts_what_each_of_them_cost() -> None:
    async def list_destinations(self: Any, *_: Any) -> Any:
        await asked(2)
        raise self.transport.named(NotFound("404"))

    adapters = [scripted(name, list_destinations=list_destinations) for name in ("a", "b")]
    async with serving(*adapters) as stubs:
        request = ListDestinationsRequest(parent="connections/-")
        overhead_ms, whole_ms, said = await timed(stubs.destinations.ListDestinations(request))
    assert overhead_ms <= whole_ms - AWHILE_S * 1000
    assert said[VENDOR_CALLS] == "4"


async def test_a_write_says_it_too() -> None:
    async with serving(SCRIPTED) as stubs:
        job = ExportJob(destination=DESTINATION)
        request = CreateExportJobRequest(parent="connections/scripted", export_job=job)
        overhead_ms, whole_ms, said = await timed(stubs.export_jobs.CreateExportJob(request))
    assert overhead_ms <= whole_ms - AWHILE_S * 1000
    assert said[VENDOR_CALLS] == "1"


async def test_waiting_for_news_of_a_job_is_no_time_of_the_gateways() -> None:
    async with serving(SCRIPTED) as stubs:
        for method, request in (
            (stubs.export_jobs.WaitExportJob, WaitExportJobRequest(name=JOB)),
            (stubs.export_jobs.WatchExportJob, WatchExportJobRequest(name=JOB)),
        ):
            overhead_ms, whole_ms, _ = await timed(method(request))
            assert 0 < overhead_ms <= whole_ms - AWHILE_S * 1000


async def test_a_stream_is_the_gateways_until_it_has_begun() -> None:
    async with serving(SCRIPTED) as stubs:
        overhead_ms, whole_ms, said = await timed(
            stubs.export_jobs.DownloadExportJob(DownloadExportJobRequest(name=JOB))
        )
    assert 0 < overhead_ms <= whole_ms - AWHILE_S * 1000
    assert said[VENDOR_CALLS] == "0"


async def test_waiting_for_the_callers_messages_is_no_time_of_the_gateways() -> None:
    async def requests() -> AsyncIterator[UploadAudienceMembersRequest]:
        await awhile()
        yield UploadAudienceMembersRequest()

    async with serving(SCRIPTED) as stubs:
        overhead_ms, whole_ms, said = await timed(stubs.members.UploadAudienceMembers(requests()))
    assert 0 < overhead_ms <= whole_ms - AWHILE_S * 1000
    assert said[VENDOR_CALLS] == "0"


@pytest.mark.parametrize("name", ["", "connections/none/destinations/1"])
async def test_a_call_that_is_refused_before_any_vendor_says_so(name: str) -> None:
    async with serving(SCRIPTED) as stubs:
        _, _, said = await timed(stubs.destinations.GetDestination(GetDestinationRequest(name=name)))
    assert said[VENDOR_CALLS] == "0"


async def test_waits_in_the_gateway_are_told_apart() -> None:
    async def get_destination(self: Any, destination_id: str, *, full: bool) -> Destination:
        calls.current().wait_s += 0.0125
        return Destination(name=DESTINATION)

    async with serving(scripted(get_destination=get_destination)) as stubs:
        said = await trailers(stubs.destinations.GetDestination(GET))
    assert said[WAIT] == "12.500"
