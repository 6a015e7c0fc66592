"""One list over all connections: what each adds, who is left out and why, and that a dead one ends nothing."""

import asyncio
from typing import Any

import grpc
import pytest

from adapters import errors
from adapters.base import Listing, ListQuery, Page
from adapters.errors import Fault, VendorError
from audiencegateway.v1 import destinations_pb2 as pb
from audiencegateway.v1 import export_jobs_pb2
from audiencegateway.v1.connections_pb2 import GetConnectionRequest
from gateway.paging import MAX_TOKEN_CHARS
from tests.gateway.scripted import Stubs, refused, scripted, serving

ALL = "connections/-"


def shop(vendor: str, count: int, **members: Any) -> Any:
    """Return an adapter that lists *count* destinations, by offset."""

    async def list_destinations(self: Any, query: ListQuery, cursor: str, size: int) -> Page[pb.Destination]:
        start = int(cursor or 0)
        end = min(start + size, count)
        items = [
            pb.Destination(name=f"connections/{vendor}/destinations/{at}", display_name=f"{vendor} {at}")
            for at in range(start, end)
        ]
        return Page(items, str(end) if end < count else "")

    return scripted(vendor, **{"list_destinations": list_destinations, **members})


def dead(vendor: str, kind: type[VendorError] = errors.Unavailable) -> Any:
    async def list_destinations(self: Any, query: ListQuery, cursor: str, size: int) -> Page[pb.Destination]:
        error = kind("nobody answers", fault=Fault(http_status=503))
        error.vendor = error.connection = vendor
        raise error

    return scripted(vendor, list_destinations=list_destinations)


async def pages(stubs: Stubs, size: int, **request: Any) -> list[pb.ListDestinationsResponse]:
    found: list[pb.ListDestinationsResponse] = []
    wanted = pb.ListDestinationsRequest(parent=ALL, page_size=size, **request)
    while not found or wanted.page_token:
        found.append(await stubs.destinations.ListDestinations(wanted))
        wanted.page_token = found[-1].next_page_token
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
async def test_pages_over_all_connections_hold_everything_once(size: int) -> None:
    async with serving(shop("a", 5), shop("b", 0), shop("c", 9)) as stubs:
        found = await pages(stubs, size)

    names = [one.name for page in found for one in page.destinations]
    assert len(names) == len(set(names)) == 14
    assert all(len(page.destinations) <= size for page in found)
    assert all(one.etag for page in found for one in page.destinations)


async def test_a_dead_connection_is_named_and_the_others_are_listed() -> None:
    async with serving(shop("a", 3), dead("b"), shop("c", 2)) as stubs:
        found = await pages(stubs, 50)

    assert [list(page.unreachable) for page in found] == [["connections/b"], ["connections/b"]]
    assert sum(len(page.destinations) for page in found) == 5


async def test_all_connections_dead_is_an_error() -> None:
    async with serving(dead("a"), dead("b")) as stubs:
        answer = await refused(stubs.destinations.ListDestinations(pb.ListDestinationsRequest(parent=ALL)))

    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "VENDOR_UNAVAILABLE")


async def test_a_connection_that_hangs_costs_its_slice_and_no_more() -> None:
    async def list_destinations(self: Any, query: ListQuery, cursor: str, size: int) -> Page[pb.Destination]:
        await asyncio.Event().wait()
        return Page([])

    async with serving(shop("a", 3), scripted("b", list_destinations=list_destinations)) as stubs:
        answer = await stubs.destinations.ListDestinations(pb.ListDestinationsRequest(parent=ALL), timeout=1)

    assert list(answer.unreachable) == ["connections/b"]
    assert len(answer.destinations) == 3


async def test_a_refused_credential_shows_on_its_connection() -> None:
    async with serving(shop("a", 1), dead("b", errors.CredentialsRejected)) as stubs:
        await stubs.destinations.ListDestinations(pb.ListDestinationsRequest(parent=ALL))
        connection = await stubs.connections.GetConnection(GetConnectionRequest(name="connections/b"))

    assert connection.state == connection.CREDENTIALS_REJECTED


async def _too_long(self: Any, query: ListQuery, cursor: str, size: int) -> Page[pb.Destination]:
    return Page([pb.Destination(name=f"connections/{self.vendor}/destinations/1")], "x" * MAX_TOKEN_CHARS)


async def _circular(self: Any, query: ListQuery, cursor: str, size: int) -> Page[pb.Destination]:
    raise errors.ProtocolViolation("the list goes in a circle")


@pytest.mark.parametrize("list_destinations", [_too_long, _circular])
async def test_what_is_wrong_with_a_list_says_whose_it_is(list_destinations: Any) -> None:
    async with serving(scripted("a", list_destinations=list_destinations)) as stubs:
        answer = await refused(stubs.destinations.ListDestinations(pb.ListDestinationsRequest(parent="connections/a")))

    assert (answer.code, answer.reason) == (grpc.StatusCode.INTERNAL, "VENDOR_PROTOCOL")
    assert answer.metadata == {"vendor": "a", "connection": "a"}


@pytest.mark.parametrize("list_destinations", [_too_long, _circular])
async def test_what_is_wrong_with_a_list_over_all_connections_is_told_as_it_is(list_destinations: Any) -> None:
    async with serving(scripted("a", list_destinations=list_destinations)) as stubs:
        answer = await refused(stubs.destinations.ListDestinations(pb.ListDestinationsRequest(parent=ALL)))

    assert (answer.code, answer.reason) == (grpc.StatusCode.INTERNAL, "VENDOR_PROTOCOL")
    # A token that is too long may be anybody's.
    assert answer.metadata.get("connection") == (None if list_destinations is _too_long else "a")


async def test_who_can_not_be_asked_is_skipped_with_what_would_bring_them_in() -> None:
    async def list_export_jobs(self: Any, query: ListQuery, cursor: str, size: int) -> Page[export_jobs_pb2.ExportJob]:
        audiences = [export_jobs_pb2.ExportAudience(audience_id="7")]
        job = export_jobs_pb2.ExportJob(name=f"connections/{self.connection}/exportJobs/1", audiences=audiences)
        return Page([job])

    needy = scripted(
        "b", list_export_jobs=list_export_jobs, export_jobs=Listing(required_filter="audiences.audience_id")
    )
    request = export_jobs_pb2.ListExportJobsRequest(parent=ALL)
    async with serving(scripted("a", list_export_jobs=list_export_jobs), needy, scripted("c")) as stubs:
        without = await stubs.export_jobs.ListExportJobs(request)
        request.filter = 'audiences.audience_id:"7"'
        with_filter = await stubs.export_jobs.ListExportJobs(request)
        request.filter = 'destination = "connections/b/destinations/1"'
        one = await stubs.export_jobs.ListExportJobs(request)

    assert [(entry.connection, entry.reason, entry.required_filter) for entry in without.skipped] == [
        ("connections/b", "FILTER_REQUIRED", "audiences.audience_id"),
        ("connections/c", "NOT_SUPPORTED_BY_VENDOR", ""),
    ]
    assert [job.name for job in without.export_jobs] == ["connections/a/exportJobs/1"]
    assert [entry.connection for entry in with_filter.skipped] == ["connections/c"]
    assert len(with_filter.export_jobs) == 2
    # The filter names a destination of one connection: nobody else is asked.
    assert [job.name for job in one.export_jobs] == []


async def test_an_order_over_all_connections_is_refused() -> None:
    ordered = shop("a", 2, destinations=Listing(native_orders=frozenset({"display_name"})))
    async with serving(ordered) as stubs:
        answer = await refused(
            stubs.destinations.ListDestinations(pb.ListDestinationsRequest(parent=ALL, order_by="display_name"))
        )

    assert answer.reason == "INVALID_ORDER_BY"


@pytest.mark.parametrize("method", ["GetDestination", "DeleteDestination"])
async def test_all_connections_at_once_are_only_listed(method: str) -> None:
    request = getattr(pb, f"{method}Request")(name="connections/-/destinations/1")
    async with serving(shop("a", 1)) as stubs:
        answer = await refused(getattr(stubs.destinations, method)(request))

    assert answer.reason == "INVALID_RESOURCE_NAME"
