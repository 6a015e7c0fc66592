"""Lists, as services answer them: of what is below one resource, or over one connection or all of them."""

from collections.abc import Callable, Coroutine, Sequence
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

from google.protobuf.message import Message

from adapters import names
from adapters.base import Adapter, Listing, ListQuery, Page, Term
from adapters.errors import InvalidRequest, NotSupported, VendorError, Violation
from audiencegateway.v1.connections_pb2 import SkippedConnection
from audiencegateway.v1.destinations_pb2 import DestinationView, ListDestinationsRequest
from audiencegateway.v1.export_jobs_pb2 import ListExportJobsRequest
from gateway import filtering, paging
from gateway.connections import Connection
from gateway.desk import Desk
from gateway.fanout import fan_out
from gateway.filtering import FieldTable
from gateway.interceptors.access_log import RECORD
from gateway.paging import Listed, ListRequest

T = TypeVar("T", bound=Message)
Fetch = Callable[[ListQuery, str, int], Coroutine[Any, Any, Page[T]]]
"""An adapter's list verb: from a query, a cursor and a size to the vendor's page."""
Finish = Callable[[T], object]
"""Puts on an item what its vendor does not know."""
KeyOf = Callable[[T], str]


class Way(NamedTuple, Generic[T]):
    """How an adapter lists one kind of resource."""

    verb: str
    """Which the vendor has to have."""
    fetch: Callable[[Adapter[Any]], Fetch[T]]
    needs_filter: bool = True
    """Whether the vendor's need of a filter counts."""


Spreadable = ListDestinationsRequest | ListExportJobsRequest

ALL_CONNECTIONS = "connections/-"
NAME = attrgetter("name")
SLICE = 0.8
"""How much of a call's time each connection has in a list over all of them: what is left is for the answer."""
MAX_SLICE_S = 20.0


class Collection(NamedTuple, Generic[T]):
    """A page of a list that may be over all connections."""

    items: list[T]
    next_page_token: str
    unreachable: Sequence[str] = ()
    skipped: Sequence[SkippedConnection] = ()


def unfinished(_: Message) -> None:
    """Leave an item as the vendor has it."""


async def page(
    desk: Desk,
    request: ListRequest,
    fetch: Fetch[T],
    listing: Listing,
    *,
    finish: Finish[T] = unfinished,
    key: KeyOf[T] = NAME,
) -> Listed[T]:
    """Return the page of a list below one resource that *request* asks for.

    *finish* puts on each item what the vendor does not know.

    Raises:
        InvalidRequest: INVALID_ORDER_BY, INVALID_PAGE_TOKEN.
    """
    query = _query(request, (), listing)
    return await paging.walk(desk.sealer, request, RECORD.get().connection, _fetch(fetch, query, finish), key=key)


async def collect(
    desk: Desk,
    request: Spreadable,
    resources: str,
    fields: FieldTable,
    finish: Finish[T],
    *,
    way_of: Callable[[Sequence[Term]], Way[T]] | None = None,
) -> Collection[T]:
    """Return the page of `destinations` or `export_jobs`, of one connection or of all that the caller may use.

    *fields* may stand in its filter; *way_of* says how what satisfies a filter is listed, unless by the vendor's list.

    Raises:
        InvalidRequest: INVALID_FILTER, INVALID_ORDER_BY, INVALID_PAGE_TOKEN; FILTER_REQUIRED.
    """
    terms = filtering.parse(request.filter, fields)
    matches = filtering.matcher(terms, fields)
    verb = f"list_{resources}"
    way = way_of(terms) if way_of else Way[T](verb, attrgetter(verb))
    if request.parent == ALL_CONNECTIONS:
        sources, skipped = _sources(desk, request, resources, terms, finish, way=way)
        slice_s = min(MAX_SLICE_S, desk.time_left_s() * SLICE)
        spread = await fan_out(desk.sealer, request, sources, slice_s, matches=matches)
        return Collection(spread.items, spread.next_page_token, spread.unreachable, skipped)
    adapter, _ = desk.find(request.parent, "Connection")
    listing: Listing = getattr(adapter, resources)
    query = _query(request, terms, listing)
    if way.needs_filter and _lacks(query, listing):
        raise _filter_required(listing)
    fetch = _fetch(way.fetch(adapter), query, finish)
    page = await paging.walk(desk.sealer, request, adapter.connection, fetch, matches=matches)
    return Collection(page.items, page.next_page_token)


def _sources(
    desk: Desk, request: Spreadable, resources: str, terms: Sequence[Term], finish: Finish[T], *, way: Way[T]
) -> tuple[dict[str, paging.Fetch[T]], list[SkippedConnection]]:
    """Return the connections to ask, and those left out on purpose with what would bring them in."""
    sources: dict[str, paging.Fetch[T]] = {}
    skipped: list[SkippedConnection] = []
    for connection in desk.visible_connections():
        listing: Listing = getattr(connection.adapter, resources)
        # No vendor's order holds across vendors.
        query = _query(request, terms, Listing())
        name = names.connection(connection.id)
        destination = query.fixed("destination") or name
        if way.verb not in connection.adapter.verbs():
            skipped.append(SkippedConnection(connection=name, reason=NotSupported.reason))
        elif way.needs_filter and _lacks(query, listing):
            skipped.append(
                SkippedConnection(connection=name, reason="FILTER_REQUIRED", required_filter=listing.required_filter)
            )
        elif f"{destination}/".startswith(f"{name}/"):
            sources[connection.id] = _noted(connection, _fetch(way.fetch(connection.adapter), query, finish))
    return sources, skipped


def _query(request: ListRequest, terms: Sequence[Term], listing: Listing) -> ListQuery:
    order_by, descending = filtering.parse_order(getattr(request, "order_by", ""), listing.native_orders)
    return ListQuery(
        terms=tuple(terms),
        order_by=order_by,
        descending=descending,
        show_deleted=getattr(request, "show_deleted", False),
        full=getattr(request, "view", 0) == DestinationView.DESTINATION_VIEW_FULL,
    )


def _lacks(query: ListQuery, listing: Listing) -> bool:
    return bool(listing.required_filter) and query.fixed(listing.required_filter) is None


def _filter_required(listing: Listing) -> InvalidRequest:
    message = f"this vendor lists only what a filter on {listing.required_filter} fixes"
    return InvalidRequest(
        message,
        reason="FILTER_REQUIRED",
        metadata={"field": listing.required_filter},
        violations=[Violation("filter", message, "FILTER_REQUIRED")],
    )


def _fetch(fetch: Fetch[T], query: ListQuery, finish: Finish[T]) -> paging.Fetch[T]:
    async def finished(cursor: str, size: int) -> Page[T]:
        page = await fetch(query, cursor, size)
        for item in page.items:
            finish(item)
        return page

    return finished


def _noted(connection: Connection, fetch: paging.Fetch[T]) -> paging.Fetch[T]:
    """Let a connection learn from what its part of a list came to; nobody else sees it."""

    async def noted(cursor: str, size: int) -> Page[T]:
        try:
            page = await fetch(cursor, size)
        except VendorError as error:
            connection.note(error)
            raise
        connection.note(None)
        return page

    return noted
