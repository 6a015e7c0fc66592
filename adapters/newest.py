"""Several lists of a vendor as one, newest first, so that what exists throughout a walk appears exactly once.

Each list comes newest first, in pages by the vendor's cursors, which may be positions: every new item shifts them. So
the cursor made here says by *time* how far the walk has come, and of each list only which page to read next, even when
that page was given in part. Of what is read again, all that is newer than the last item given was given before, or did
not exist when the walk began. A list that turns out to be in another order is read whole, each time.

What this promises, as long as an item keeps its time:

- Nothing that exists throughout is skipped or given twice, whatever is new and whatever the vendor forgets at the end.
- The lists of a walk are those that there were when it began.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Generic, TypeVar

import msgspec

from adapters import cursors
from adapters.base import Page
from adapters.errors import ProtocolViolation
from adapters.together import WIDTH, together

T = TypeVar("T")
Ids = tuple[str, ...]
"""What a list is known by."""
Fetch = Callable[[Ids, str], Awaitable[Page[T]]]
"""From a list and the vendor's cursor, empty at the start, to that page of it."""


class _Spot(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """How far one list has come."""

    ids: Ids
    cursor: str = ""
    """The page that is next, or was given in part."""
    time: int | None = None
    """Nothing that is left is newer; None: nothing is known yet."""


class _Place(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What a cursor holds."""

    spots: tuple[_Spot, ...]
    """Of the lists that are not at their end."""
    time: int | None = None
    """Of the last item given."""
    given: tuple[str, ...] = ()
    """Keys of all items given that have this very time."""


class _Walk(Generic[T]):
    """How far a walk has come, whatever the list."""

    def __init__(self, place: _Place, when: Callable[[T], int], key: Callable[[T], str]) -> None:
        self.time = place.time
        self.given = list(place.given)
        self.when = when
        self._key = key

    def is_due(self, item: T) -> bool:
        time = self.when(item)
        return self.time is None or time < self.time or (time == self.time and self._key(item) not in self.given)

    def give(self, item: T) -> T:
        if self.when(item) != self.time:
            self.time, self.given = self.when(item), []
        self.given.append(self._key(item))
        return item


class _Lane(Generic[T]):
    """One of the lists, read as far as it is needed."""

    def __init__(self, spot: _Spot, fetch: Fetch[T], walk: _Walk[T]) -> None:
        self.rows: deque[T] = deque()
        self._ids = spot.ids
        self._page = ""
        """The vendor's cursor to the page that the rows are of."""
        self._next: str | None = spot.cursor
        """None: the list is at its end."""
        self._time = spot.time
        self._fetch = fetch
        self._walk = walk

    @property
    def spot(self) -> _Spot | None:
        cursor = self._page if self.rows else self._next
        return None if cursor is None else _Spot(self._ids, cursor, self.time)

    @property
    def time(self) -> int | None:
        """The time of the first row, or what no row that comes can be newer than."""
        return self._walk.when(self.rows[0]) if self.rows else self._time

    @property
    def is_dry(self) -> bool:
        return not self.rows and self._next is not None

    async def fill(self) -> None:
        """Read on until there is something to give, or the end."""
        seen: set[str] = set()
        while not self.rows and self._next is not None:
            self._page = self._next
            page = await self._read(self._page, seen)
            items, self._next = page.items, page.next_cursor or None
            if any(self._walk.when(newer) < self._walk.when(older) for newer, older in pairwise(items)):
                items, self._page, self._next = await self._read_all(), "", None
            if items:
                self._time = self._walk.when(items[-1])
            self.rows.extend(item for item in items if self._walk.is_due(item))

    async def _read_all(self) -> list[T]:
        items, cursor, seen = list[T](), "", set[str]()
        while True:
            page = await self._read(cursor, seen)
            items, cursor = [*items, *page.items], page.next_cursor
            if not cursor:
                return sorted(items, key=self._walk.when, reverse=True)

    async def _read(self, cursor: str, seen: set[str]) -> Page[T]:
        if cursor in seen:
            raise ProtocolViolation("the list goes in a circle: it named the same page again")
        seen.add(cursor)
        return await self._fetch(self._ids, cursor)


async def read(
    fetch: Fetch[T],
    lists: Callable[[], Awaitable[Sequence[Ids]]],
    cursor: str,
    size: int,
    *,
    when: Callable[[T], int],
    key: Callable[[T], str],
) -> Page[T]:
    """Return at most *size* items of all lists from *cursor* on.

    Args:
        fetch: Reads a page of one list. Another order is only noticed where the items of a page differ in time.
        lists: Says which lists there are; asked at the start of a walk.
        cursor: Empty at the start.
        size: Fewer items are no end, an empty `next_cursor` is.
        when: An item's time, which never changes, in any unit.
        key: An item's id, unique in all lists.

    Raises:
        InvalidRequest: INVALID_PAGE_TOKEN, for a cursor that is none of ours.
        ProtocolViolation: a list names a page for the second time.
    """
    place = cursors.unpack(cursor, _Place) if cursor else _Place(tuple(_Spot(ids) for ids in await lists()))
    walk = _Walk(place, when, key)
    lanes = [_Lane(spot, fetch, walk) for spot in place.spots]
    items: list[T] = []
    while len(items) < size:
        while due := _due(lanes):
            await together(_Lane.fill, due)
        ready = [lane for lane in lanes if lane.rows]
        if not ready:
            return Page(items)
        newest = max(ready, key=lambda lane: when(lane.rows[0]))
        items.append(walk.give(newest.rows.popleft()))
    spots = tuple(lane.spot for lane in lanes if lane.spot)
    return Page(items, cursors.pack(_Place(spots, walk.time, tuple(walk.given))) if spots else "")


def _due(lanes: Sequence[_Lane[T]]) -> list[_Lane[T]]:
    """Return some that have to be read before it is known what is newest of all; none: it is known."""
    dry = [lane for lane in lanes if lane.is_dry]
    unknown = [lane for lane in dry if lane.time is None]
    if unknown or not dry:
        return unknown
    newest = max((lane.time or 0 for lane in lanes if lane.rows), default=None)
    rivals = [lane for lane in dry if newest is None or (lane.time or 0) > newest]
    return sorted(rivals, key=lambda lane: lane.time or 0, reverse=True)[:WIDTH]
