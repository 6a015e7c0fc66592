"""Lists over `connections/-`: every connection at once, one page, one token.

Each connection that is not through gives its share of a page: `page_size` divided by their number, and the remainder in
turns, which are the order of the places in the token. So a page is never larger than asked for, and takes as long as
the slowest connection, whose time is a slice of the caller's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from google.protobuf.message import Message

from adapters import calls, names
from adapters.errors import Overloaded, TimedOut, VendorError
from gateway.paging import (
    MAX_PAGE_BYTES,
    Fetch,
    ListRequest,
    Progress,
    Share,
    TokenSealer,
    everything,
    page_size,
)

T = TypeVar("T", bound=Message)
R = TypeVar("R")

MAX_FAILURES = 2
"""On so many pages in a row, and a connection is given up."""
Failure = VendorError | Overloaded
"""What keeps one connection from answering and says nothing of the others."""


class Spread(NamedTuple, Generic[T]):
    """A page over several connections as it is answered."""

    items: list[T]
    next_page_token: str
    """Empty at the end."""
    unreachable: list[str]
    """Names of the connections that failed on this page."""


class _Part(NamedTuple, Generic[T]):
    """What became of one connection's share."""

    before: Progress
    share: Share[T]
    failure: Failure | None

    @property
    def failed(self) -> bool:
        """Tell whether it got nowhere: one that got somewhere first is not unreachable, and fails anew if it must."""
        return self.failure is not None and self.share.progress is self.before

    @property
    def after(self) -> Progress | None:
        """Where the connection is now; None where it is through or given up."""
        if not self.failed:
            return self.share.progress
        failures = self.before.failures + 1
        return msgspec.structs.replace(self.before, failures=failures) if failures < MAX_FAILURES else None


async def fan_out(
    sealer: TokenSealer,
    request: ListRequest,
    sources: Mapping[str, Fetch[T]],
    slice_s: float,
    *,
    matches: Callable[[T], bool] = everything,
    key: Callable[[T], str] = attrgetter("name"),
) -> Spread[T]:
    """Return the page over the connections *sources* that *request* asks for; each of them has *slice_s* seconds.

    One that is no longer among *sources* counts as through; one that is new there is not in a list that has begun.

    Raises:
        InvalidRequest: INVALID_FIELD for a negative page size, INVALID_PAGE_TOKEN.
        VendorError: all connections fail on the first page, the first one like this.
        Overloaded: the same.
    """
    size = page_size(request.page_size)
    begun = sealer.unseal(request)
    places = [place for place in begun if place.connection in sources] if begun else list(map(Progress, sources))
    if not places:
        return Spread([], "", [])
    each, extra = divmod(size, len(places))
    room_bytes = MAX_PAGE_BYTES // min(size, len(places))

    async def part(rank: int, place: Progress) -> _Part[T]:
        share = Share[T](place, each + (rank < extra), room_bytes)
        fill = share.fill(sources[place.connection], matches, key)
        return _Part(place, share, await _failure(fill, place.connection, slice_s))

    parts = await _together(part(rank, place) for rank, place in enumerate(places))
    failures = [part.failure for part in parts if part.failed]
    if not begun and len(failures) == len(parts) and failures[0]:
        raise failures[0]
    return _answer(sealer, request, parts, extra)


def _answer(sealer: TokenSealer, request: ListRequest, parts: list[_Part[T]], extra: int) -> Spread[T]:
    items: list[T] = []
    room_bytes = MAX_PAGE_BYTES
    put_back: list[Progress] = []
    turns: tuple[list[Progress], list[Progress]] = ([], [])
    for rank, part in enumerate(parts):
        # A share is too large when its only item is: it comes first on the next page.
        if items and part.share.items and part.share.bytes > room_bytes:
            put_back.append(part.before)
            continue
        items += part.share.items
        room_bytes -= part.share.bytes
        if after := part.after:
            turns[rank < extra].append(after)
    unreachable = [names.connection(part.before.connection) for part in parts if part.failed]
    return Spread(items, sealer.seal([*put_back, *turns[False], *turns[True]], request), unreachable)


async def _failure(work: Awaitable[None], connection: str, slice_s: float) -> Failure | None:
    """Do *work* as a call of its own that ends in *slice_s* seconds, and return what kept it from its end."""
    outer = calls.current()
    ends_at = asyncio.get_running_loop().time() + slice_s
    inner = calls.Call(ends_at if outer.deadline is None else min(ends_at, outer.deadline), outer=outer)
    try:
        with calls.serving(inner):
            async with asyncio.timeout_at(inner.deadline):
                await work
    except TimeoutError:
        failure = TimedOut("the connection took longer than its share of the time")
        failure.connection = connection
        return failure
    except (VendorError, Overloaded) as failure:
        if isinstance(failure, VendorError):
            # What is found out beside the calls themselves names none, and one list is of several.
            failure.connection = failure.connection or connection
        return failure
    finally:
        outer.vendor_calls += inner.vendor_calls
        outer.vendor_s += inner.vendor_s
        outer.wait_s += inner.wait_s
    return None


async def _together(work: Iterable[Coroutine[Any, Any, R]]) -> list[R]:
    """Return what *work* comes to; the first that raises ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]
