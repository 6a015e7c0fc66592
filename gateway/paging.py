"""Pages: sealed tokens, and the walk from a vendor's pages to ours.

Where a list has got to is a `Progress` per connection that is not through yet: the vendor's cursor, and how far into
the page behind that cursor. A token is a sealed tuple of them; a list of one connection has one. Fewer items than were
asked for, even none, may come before the end, and an empty token is the only end.
"""

import hmac
import secrets
import time
from base64 import b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable, Sequence
from hashlib import blake2b
from operator import attrgetter
from typing import Annotated, Generic, NamedTuple, TypeVar

import msgspec
from google.protobuf.message import Message

from adapters.base import Page
from adapters.errors import InvalidRequest, ProtocolViolation, invalid_field
from audiencegateway.v1.connections_pb2 import ListConnectionsRequest
from audiencegateway.v1.destinations_pb2 import ListDestinationsRequest, ListSubscriptionsRequest
from audiencegateway.v1.export_jobs_pb2 import (
    ListExportJobLogEntriesRequest,
    ListExportJobRevisionsRequest,
    ListExportJobsRequest,
)

T = TypeVar("T", bound=Message)
Fetch = Callable[[str, int], Awaitable[Page[T]]]
"""From a vendor's cursor (empty: the start) and how many items are wanted, to a page of about as many."""
ListRequest = (
    ListConnectionsRequest
    | ListDestinationsRequest
    | ListSubscriptionsRequest
    | ListExportJobsRequest
    | ListExportJobLogEntriesRequest
    | ListExportJobRevisionsRequest
)

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 500
MAX_PAGE_BYTES = 3 * 1024 * 1024
"""A client takes 4 MiB by default."""
MAX_VENDOR_PAGES = 5
"""In one call and of one connection, however few of their items match."""
SCAN_SIZE = 100
"""What a vendor is asked for at least, once it has shown items that don't match."""
MAX_AGE_S = 3 * 24 * 3600
MAX_TOKEN_CHARS = 64 * 1024
"""Room for the cursors of a hundred connections."""
ANCHORS = 8

_VERSION = b"\x01"
_MAC_BYTES = 16
_ITEM_OVERHEAD_BYTES = 8  # the tag and length of an item in its page, and what is stamped on it later

Natural = Annotated[int, msgspec.Meta(ge=0)]


def page_size(asked: int) -> int:
    """Return the page size to use: the default for 0, the maximum for more than that.

    Raises:
        InvalidRequest: INVALID_FIELD, for a negative one.
    """
    if asked < 0:
        raise invalid_field("page_size", "must not be negative")
    return min(asked or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


class Progress(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """How far a list has got in one connection. A connection that is through has none."""

    connection: str
    cursor: str = ""
    """The vendor's, to the page that comes next or was given in part."""
    skip: Natural = 0
    """Items of that page that are dealt with."""
    anchors: tuple[bytes, ...] = ()
    """Digests of the keys of the last of them, since the page may have changed when it is read again; and of what was
    dealt with and not seen again."""
    pages: Natural = 0
    """Vendor pages that are dealt with."""
    mark: bytes = b""
    """Digest of the cursor that came when `pages` was last a power of two: who comes by it again walks in a circle."""
    failures: Natural = 0
    """On how many pages in a row it failed, where it is one of several connections."""

    def within(self, skip: int, keys: Iterable[str], missing: tuple[bytes, ...]) -> "Progress":
        """Return where the list is once *skip* items of this page are dealt with, the last of them having *keys*."""
        anchors = (*(_digest(key) for key in keys if key), *missing)[: 2 * ANCHORS]
        return msgspec.structs.replace(self, skip=skip, anchors=anchors, failures=0)

    def after(self, cursor: str, missing: tuple[bytes, ...]) -> "Progress":
        """Return where the list is once this page is dealt with and *cursor* is the next.

        Raises:
            ProtocolViolation: the vendor goes in a circle, at the latest when it is at the end of the second round.
        """
        mark = _digest(cursor)
        if mark == self.mark:
            raise circular(self.connection)
        pages = self.pages + 1
        kept = self.mark if pages & (pages - 1) else mark
        return Progress(self.connection, cursor, anchors=missing, pages=pages, mark=kept)


def circular(connection: str) -> ProtocolViolation:
    """Return the error for a vendor that names a cursor for the second time."""
    error = ProtocolViolation("the vendor's pages go in a circle: it named the same cursor again")
    error.connection = connection
    return error


class Share(Generic[T]):
    """What one connection adds to a page. Whatever interrupts it, items and progress fit together."""

    def __init__(self, progress: Progress, size: int, room_bytes: int) -> None:
        self.items: list[T] = []
        self.bytes = 0
        """Of all items."""
        self.progress: Progress | None = progress
        """None: the connection is through."""
        self._size = size
        self._room_bytes = room_bytes

    async def fill(self, fetch: Fetch[T], matches: Callable[[T], bool], key: Callable[[T], str]) -> None:
        """Read on until the share is full, the vendor at its end, or `MAX_VENDOR_PAGES` are read."""
        named: set[str] = set()
        wanted = self._size
        for _ in range(MAX_VENDOR_PAGES):
            if self.progress is None or len(self.items) == self._size:
                return
            at, kept = self.progress, len(self.items)
            page = await fetch(at.cursor, min(at.skip + wanted, MAX_PAGE_SIZE))
            named.add(at.cursor)
            if page.next_cursor and page.next_cursor in named:
                raise circular(at.connection)
            start, missing = _resume(page.items, at, key)
            following = at.after(page.next_cursor, missing) if page.next_cursor else None
            end = self._take(page.items, start, matches)
            if end < len(page.items):
                self.progress = at.within(end, map(key, page.items[max(0, end - ANCHORS) : end]), missing)
                return
            self.progress = following
            wanted = self._size - len(self.items)
            if end - start > len(self.items) - kept:  # some did not match
                wanted = max(wanted, SCAN_SIZE)

    def _take(self, items: Sequence[T], start: int, matches: Callable[[T], bool]) -> int:
        """Take what matches until an item does not fit; return how many of the page are dealt with."""
        for index in range(start, len(items)):
            item = items[index]
            if not matches(item):
                continue
            cost = item.ByteSize() + _ITEM_OVERHEAD_BYTES
            # A share's first item fits always: one that is larger than a page goes alone.
            if len(self.items) == self._size or (self.items and self.bytes + cost > self._room_bytes):
                return index
            self.items.append(item)
            self.bytes += cost
        return len(items)


def _resume(items: Sequence[T], at: Progress, key: Callable[[T], str]) -> tuple[int, tuple[bytes, ...]]:
    """Return how many items of a page are dealt with, and the anchors that new items may have pushed further down.

    Where none is left of a page's own, eight neighbours are gone or pushed out: rather twice than never.
    """
    if not at.anchors:
        return at.skip, ()
    for index in range(len(items), 0, -1):
        digest = _digest(key(items[index - 1]))
        if digest in at.anchors:
            return index, at.anchors[at.anchors.index(digest) + 1 :]
    return 0, at.anchors


class Listed(NamedTuple, Generic[T]):
    """A page as it is answered."""

    items: list[T]
    next_page_token: str
    """Empty at the end."""


class TokenSealer:
    """Makes page tokens that only a holder of a key can make, and only the same list can be continued with."""

    def __init__(self, *keys: bytes, clock: Callable[[], float] = time.time) -> None:
        """Take the keys of all replicas: the first one seals, all open. None: a random one, for this process only."""
        self._keys = keys or (secrets.token_bytes(32),)
        self._clock = clock

    def seal(self, places: Sequence[Progress], request: ListRequest) -> str:
        """Return the token that continues *request* at *places*; empty where there are none."""
        if not places:
            return ""
        token = _Token(int(self._clock()), _bound(request), tuple(places))
        payload = _VERSION + msgspec.msgpack.encode(token)
        text = urlsafe_b64encode(_mac(self._keys[0], payload) + payload).rstrip(b"=").decode()
        if len(text) > MAX_TOKEN_CHARS:
            raise ProtocolViolation("the vendor's cursors are too long for a page token")
        return text

    def unseal(self, request: ListRequest) -> tuple[Progress, ...]:
        """Return the places that the token of *request* names; none where it has no token.

        Raises:
            InvalidRequest: INVALID_PAGE_TOKEN: not sealed by us, too old, or of another list.
        """
        if not request.page_token:
            return ()
        payload = self._open(request.page_token)
        if payload is None:
            raise _refused("is none of this gateway's, or its key is no longer in use")
        token = msgspec.msgpack.decode(payload, type=_Token)
        if self._clock() - token.issued_s > MAX_AGE_S:
            raise _refused("is older than 3 days: list again from the start")
        if token.bound != _bound(request):
            raise _refused("is of another list: all but page_size has to be as in the request that it came from")
        return token.places

    def _open(self, text: str) -> bytes | None:
        if len(text) > MAX_TOKEN_CHARS:
            return None
        try:
            raw = b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except ValueError:
            return None
        mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        sealed = any(hmac.compare_digest(mac, _mac(key, payload)) for key in self._keys)
        return payload[1:] if sealed and payload[:1] == _VERSION else None


class _Token(msgspec.Struct, array_like=True, frozen=True):
    issued_s: int
    bound: bytes
    places: tuple[Progress, ...]


def _bound(request: Message) -> bytes:
    """Return a digest of what may not change from page to page: the method, and all of the request but the page."""
    arguments = type(request)()
    arguments.CopyFrom(request)
    arguments.ClearField("page_size")
    arguments.ClearField("page_token")
    content = arguments.SerializeToString(deterministic=True)
    return blake2b(request.DESCRIPTOR.full_name.encode() + b"\n" + content, digest_size=16).digest()


def _mac(key: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, payload, "sha256")[:_MAC_BYTES]


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=8).digest()


def _refused(why: str) -> InvalidRequest:
    return invalid_field("page_token", f"the token {why}", reason="INVALID_PAGE_TOKEN")


def everything(_: Message) -> bool:
    """Match."""
    return True


async def walk(
    sealer: TokenSealer,
    request: ListRequest,
    connection: str,
    fetch: Fetch[T],
    *,
    matches: Callable[[T], bool] = everything,
    key: Callable[[T], str] = attrgetter("name"),
) -> Listed[T]:
    """Return the page of one connection's list that *request* asks for.

    *matches* judges each item (`filtering.matcher`); *key* is an item's id, empty where it has none.

    Raises:
        InvalidRequest: INVALID_FIELD for a negative page size, INVALID_PAGE_TOKEN.
        ProtocolViolation: the vendor's pages go in a circle.
    """
    size = page_size(request.page_size)
    (progress,) = sealer.unseal(request) or (Progress(connection),)
    share = Share[T](progress, size, MAX_PAGE_BYTES)
    await share.fill(fetch, matches, key)
    return Listed(share.items, sealer.seal([share.progress] if share.progress else [], request))


def fetch_from(items: Iterable[T], key: Callable[[T], str] = attrgetter("name")) -> Fetch[T]:
    """Return the pages of a list that is all here, by *key*, which is never empty; a cursor is the last key given."""
    ordered = sorted(items, key=key)

    async def fetch(cursor: str, size: int) -> Page[T]:
        start = bisect_right(ordered, cursor, key=key)
        page = ordered[start : start + size]
        return Page(page, key(page[-1]) if start + size < len(ordered) else "")

    return fetch
