"""Paging by offset, so that what exists throughout a walk appears exactly once.

A vendor's offset counts from a start that moves: whatever is deleted or inserted before it shifts the rest. The cursor
therefore carries *anchors* beside the offset, digests of ids that were given: the last eight, and of the older ones
about one at every doubling of the distance. A page reads one item of overlap. If that is the last anchor, as it nearly
always is, the page goes on after it: one call. If not, the list changed, and the place is searched for: backwards in
doubling steps until an anchor is found or the start is reached, then forwards for at most `FORWARD_READS` calls until
the *last* anchor is found. The page goes on after the furthest anchor found, and from the start when there is none.

What this promises, as long as the vendor keeps the order of what stays:

- Nothing that exists throughout is skipped, whatever happens to the rest.
- Nothing is given twice, but for two cases: eight neighbours of what was given are all gone, then what survives between
  them and the next older anchor is given again; or more is inserted before the place between two pages than
  `FORWARD_READS` reads hold, then what was given before may be.
- A caller that deletes all of each page before it asks for the next one sees every item once.

A vendor may list more than is wanted: what is not kept fills no page, but it is an anchor like any other item.
"""

from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Annotated, Generic, NamedTuple, TypeVar

import msgspec

from adapters import cursors
from adapters.base import Page
from adapters.errors import ProtocolViolation

T = TypeVar("T")
Fetch = Callable[[int, int], Awaitable[Sequence[T]]]
"""From an offset and a limit to that stretch of the vendor's list; fewer than the limit is its end."""

ANCHORS = 8
FORWARD_READS = 3
KEEP_READS = 4
"""How often a page that what was kept does not fill reads on."""


class _Anchor(NamedTuple):
    ordinal: int
    """How many items were given up to this one."""
    digest: bytes


class _Place(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What a cursor holds."""

    offset: Annotated[int, msgspec.Meta(ge=1)]
    """Just after the last item given, when it was read."""
    anchors: Annotated[tuple[_Anchor, ...], msgspec.Meta(min_length=1)]
    """In the order given; the last one is the last item."""


def everything(_: object) -> bool:
    """Keep an item, whatever it is."""
    return True


class _Stretch(Generic[T]):
    """A contiguous part of the vendor's list, which grows at both ends."""

    def __init__(self, fetch: Fetch[T], key: Callable[[T], str], start: int, max_limit: int) -> None:
        self.start = start
        self.items: list[T] = []
        self.ended = False
        self._fetch = fetch
        self._key = key
        self.max_limit = max_limit

    async def read_forward(self, limit: int) -> None:
        limit = min(limit, self.max_limit)
        items = await self._fetch(self.start + len(self.items), limit)
        # What is there already has moved on, or the vendor does not know offsets.
        known = set(map(self._key, self.items))
        moved = max((number for number, item in enumerate(items, 1) if known and self._key(item) in known), default=0)
        self.start += moved
        self.items.extend(items[moved:])
        self.ended = len(items) < limit

    async def read_back(self, limit: int) -> None:
        limit = min(limit, self.max_limit, self.start)
        self.start -= limit
        self.items[:0] = (await self._fetch(self.start, limit))[:limit]


async def read(
    fetch: Fetch[T],
    key: Callable[[T], str],
    cursor: str,
    size: int,
    max_limit: int,
    *,
    keep: Callable[[T], bool] = everything,
) -> Page[T]:
    """Return at most *size* items from *cursor* on; *max_limit* is the most that the vendor takes as a limit.

    Fewer items than *size* are no end, an empty `next_cursor` is. *key* is an item's id, unique in the list; *keep*
    says of each whether it is wanted.

    Raises:
        InvalidRequest: INVALID_PAGE_TOKEN, for a cursor that is none of ours.
        ProtocolViolation: the vendor's list does not move on with the offset.
    """
    if cursor:
        stretch, after, anchors = await _resume(fetch, key, cursors.unpack(cursor, _Place), size, max_limit)
    else:
        stretch, after, anchors = _Stretch(fetch, key, 0, max_limit), 0, ()
        await stretch.read_forward(size)
    for _ in range(KEEP_READS):
        if stretch.ended or sum(map(keep, stretch.items[after:])) >= size or keep is everything:
            break
        await stretch.read_forward(max_limit)
    return _page(stretch, after, anchors, key=key, size=size, keep=keep)


async def _resume(
    fetch: Fetch[T], key: Callable[[T], str], place: _Place, size: int, max_limit: int
) -> tuple[_Stretch[T], int, tuple[_Anchor, ...]]:
    """Return what is read from *place* on, where in it the page goes on, and the anchors up to there."""
    stretch = _Stretch(fetch, key, place.offset - 1, max_limit)
    await stretch.read_forward(size + 1)
    after, anchors = 1, place.anchors
    if not stretch.items or _digest(key(stretch.items[0])) != anchors[-1].digest:
        after, anchors = await _search(stretch, anchors, key, size)
    elif key(stretch.items[0]) in map(key, stretch.items[1:]):
        after, anchors = _locate(stretch, anchors, key)
    if after == len(stretch.items) and not stretch.ended:
        # Nothing new yet: the vendor's limit is one item, or exactly as many as were read are new before the place.
        await stretch.read_forward(size)
        after, anchors = _locate(stretch, anchors, key)
        if after == len(stretch.items) and not stretch.ended:
            raise ProtocolViolation(f"the list does not move on at offset {stretch.start + after}")
    return stretch, after, anchors


async def _search(
    stretch: _Stretch[T], anchors: tuple[_Anchor, ...], key: Callable[[T], str], step: int
) -> tuple[int, tuple[_Anchor, ...]]:
    after, found = _locate(stretch, anchors, key)
    while not found and stretch.start:
        await stretch.read_back(step)
        after, found = _locate(stretch, anchors, key)
        step *= 2
    for _ in range(FORWARD_READS):
        if found == anchors or stretch.ended:
            break
        await stretch.read_forward(stretch.max_limit)
        after, found = _locate(stretch, anchors, key)
    return after, found


def _locate(
    stretch: _Stretch[T], anchors: tuple[_Anchor, ...], key: Callable[[T], str]
) -> tuple[int, tuple[_Anchor, ...]]:
    """Return where to go on, just after the furthest anchor, and the anchors up to that one."""
    known = {anchor.digest: number for number, anchor in enumerate(anchors, 1)}
    for index in range(len(stretch.items), 0, -1):
        if number := known.get(_digest(key(stretch.items[index - 1]))):
            return index, anchors[:number]
    return 0, ()


def _page(
    stretch: _Stretch[T],
    after: int,
    anchors: tuple[_Anchor, ...],
    *,
    key: Callable[[T], str],
    size: int,
    keep: Callable[[T], bool],
) -> Page[T]:
    kept = [index for index in range(after, len(stretch.items)) if keep(stretch.items[index])]
    # Behind the last one that there is room for; behind everything, where all that is kept has room.
    end = kept[size - 1] + 1 if len(kept) > size else len(stretch.items)
    given = [stretch.items[index] for index in kept[:size]]
    if stretch.ended and end == len(stretch.items):
        return Page(given)
    items = stretch.items[after:end]
    digests = {anchor.ordinal: anchor.digest for anchor in anchors}
    fresh = dict(enumerate(items, anchors[-1].ordinal + 1 if anchors else 1))
    anchors = tuple(
        _Anchor(ordinal, digests.get(ordinal) or _digest(key(fresh[ordinal]))) for ordinal in _kept([*digests, *fresh])
    )
    return Page(given, cursors.pack(_Place(stretch.start + end, anchors)))


def _kept(ordinals: list[int]) -> list[int]:
    """Return the last `ANCHORS` of *ordinals* and, of those before, the oldest within each doubling of the distance.

    The oldest, because it is next to reach the doubling after: the newest would be replaced before it got there.
    """
    oldest: dict[int, int] = {}
    for ordinal in ordinals[:-ANCHORS]:
        oldest.setdefault((ordinals[-1] - ordinal).bit_length(), ordinal)
    return [*oldest.values(), *ordinals[-ANCHORS:]]


def _digest(key: str) -> bytes:
    return blake2b(key.encode(), digest_size=8).digest()
