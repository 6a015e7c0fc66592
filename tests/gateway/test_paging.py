"""Page tokens, and the walk through the vendor's pages of one connection."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.base import Page
from adapters.errors import InvalidRequest, ProtocolViolation
from audiencegateway.v1.connections_pb2 import ListConnectionsRequest
from audiencegateway.v1.destinations_pb2 import (
    Destination,
    DestinationView,
    ListDestinationsRequest,
    ListSubscriptionsRequest,
)
from audiencegateway.v1.export_jobs_pb2 import ListExportJobLogEntriesRequest, ListExportJobsRequest, LogEntry
from gateway.paging import (
    MAX_PAGE_BYTES,
    MAX_TOKEN_CHARS,
    MAX_VENDOR_PAGES,
    Fetch,
    Listed,
    ListRequest,
    Progress,
    Share,
    TokenSealer,
    everything,
    fetch_from,
    page_size,
    walk,
)

KEY = b"k" * 32
SEALER = TokenSealer(KEY)
AWKWARD = [1, 2, 3, 7, 50, 501]
UNHURRIED = settings(deadline=None)  # a walk is many awaits, and the machine may be busy


def destination(number: int, display_name: str = "") -> Destination:
    return Destination(name=f"connections/acme/destinations/{number:05}", display_name=display_name)


def odd(item: Destination) -> bool:
    return int(item.name[-5:]) % 2 == 1


@dataclass
class Vendor:
    """Items by number behind keyset cursors: a cursor is the number of the last item of the page before."""

    numbers: list[int]
    most: int = 1000
    """Items in a page at most."""
    least: int = 0
    """Items in a page at least, whatever was asked for."""
    display_name: str = ""
    asked: list[tuple[str, int]] = field(default_factory=list)

    async def fetch(self, cursor: str, size: int) -> Page[Destination]:
        assert size >= 1
        self.asked.append((cursor, size))
        rest = [number for number in self.numbers if not cursor or number > int(cursor)]
        page = rest[: max(min(size, self.most), self.least)]
        end = len(page) == len(rest)
        return Page([destination(number, self.display_name) for number in page], "" if end else str(page[-1]))


async def pages(
    fetch: Fetch[Destination],
    size: int,
    matches: Callable[[Destination], bool] = everything,
    between: Callable[[], None] = lambda: None,
) -> list[list[str]]:
    """Return the names of each page of one walk."""
    request = ListDestinationsRequest(parent="connections/acme", page_size=size)
    found: list[list[str]] = []
    while request.page_token or not found:
        page = await walk(SEALER, request, "acme", fetch, matches=matches)
        found.append([item.name for item in page.items])
        request.page_token = page.next_page_token
        assert len(found) < 5000
        between()
    return found


def flat(found: list[list[str]]) -> list[str]:
    return [name for page in found for name in page]


def names(numbers: list[int]) -> list[str]:
    return [destination(number).name for number in numbers]


# The walk.


@pytest.mark.parametrize("size", AWKWARD)
@pytest.mark.parametrize("most", AWKWARD)
@pytest.mark.parametrize("count", [0, 1, 50, 503])
async def test_pages_concatenate_to_the_whole(size: int, most: int, count: int) -> None:
    vendor = Vendor(list(range(count)), most)
    found = await pages(vendor.fetch, size)
    assert flat(found) == names(vendor.numbers)
    assert max(map(len, found)) <= min(size, 500)


@UNHURRIED
@given(st.integers(0, 60), st.sampled_from(AWKWARD), st.integers(1, 70), st.integers(0, 70), st.data())
async def test_pages_concatenate_to_what_matches(
    count: int, size: int, most: int, least: int, data: st.DataObject
) -> None:
    vendor = Vendor(list(range(count)), most, least)
    wanted = data.draw(st.sets(st.sampled_from(vendor.numbers))) if count else set()
    found = await pages(vendor.fetch, size, lambda item: int(item.name[-5:]) in wanted)
    assert flat(found) == names(sorted(wanted))
    assert max(map(len, found)) <= size


@UNHURRIED
@given(
    st.lists(st.integers(0, 40), max_size=30),
    st.integers(1, 9),
    st.integers(0, 200),
    st.integers(1, 9),
    st.integers(0, 9),
)
async def test_pages_cut_by_bytes_concatenate_to_the_whole(
    lengths: list[int], size: int, room_bytes: int, most: int, least: int
) -> None:
    async def fetch(cursor: str, asked: int) -> Page[Destination]:
        start = int(cursor or 0)
        end = start + max(min(asked, most), least)
        return Page(items[start:end], str(end) if end < len(items) else "")

    items = [destination(number, "x" * length) for number, length in enumerate(lengths)]
    found: list[Destination] = []
    progress: Progress | None = Progress("acme")
    while progress:
        share = Share[Destination](progress, size, room_bytes)
        await share.fill(fetch, everything, lambda item: item.name)
        assert share.items or not items
        assert len(share.items) <= size
        assert len(share.items) <= 1 or sum(item.ByteSize() for item in share.items) <= room_bytes
        found += share.items
        progress = share.progress
    assert found == items


async def test_an_unfiltered_page_is_one_vendor_page_of_the_size_asked_for() -> None:
    vendor = Vendor(list(range(120)))
    await pages(vendor.fetch, 0)
    assert vendor.asked == [("", 50), ("49", 50), ("99", 50)]


async def test_short_vendor_pages_are_filled_up_with_what_is_missing() -> None:
    vendor = Vendor(list(range(100)), most=20)
    found = await pages(vendor.fetch, 50)
    assert [len(page) for page in found] == [50, 50]
    assert vendor.asked[:3] == [("", 50), ("19", 30), ("39", 10)]


async def test_a_call_reads_five_vendor_pages_at_most_and_goes_on_with_a_token() -> None:
    vendor = Vendor(list(range(1, 12)), most=1)
    request = ListDestinationsRequest(parent="connections/acme", page_size=7)
    page = await walk(SEALER, request, "acme", vendor.fetch, matches=lambda item: item.name.endswith("8"))
    assert page.items == []
    assert page.next_page_token
    assert len(vendor.asked) == MAX_VENDOR_PAGES
    request.page_token = page.next_page_token
    page = await walk(SEALER, request, "acme", vendor.fetch, matches=lambda item: item.name.endswith("8"))
    assert [item.name for item in page.items] == names([8])


async def test_a_filter_that_matches_little_reads_on_in_larger_pages() -> None:
    vendor = Vendor(list(range(1000)))
    found = await pages(vendor.fetch, 1, lambda item: item.name.endswith("99"))
    assert flat(found) == names([99, 199, 299, 399, 499, 599, 699, 799, 899, 999])
    assert len(found) <= 11
    assert vendor.asked[:2] == [("", 1), ("0", 100)]


async def test_a_vendor_that_filters_by_itself_is_asked_for_no_more_than_is_needed() -> None:
    vendor = Vendor(list(range(1, 41, 2)))
    await pages(vendor.fetch, 7, odd)
    assert vendor.asked == [("", 7), ("13", 7), ("27", 7)]


async def test_a_vendor_page_that_is_too_large_is_given_in_parts() -> None:
    vendor = Vendor(list(range(10)), least=8)
    found = await pages(vendor.fetch, 3)
    assert [len(page) for page in found] == [3, 3, 3, 1]
    assert flat(found) == names(vendor.numbers)
    assert vendor.asked == [("", 3), ("", 6), ("", 9), ("8", 3)]


async def test_no_vendor_is_asked_for_more_than_the_largest_page() -> None:
    vendor = Vendor(list(range(1200)), least=600)
    found = await pages(vendor.fetch, 450)
    assert flat(found) == names(vendor.numbers)
    assert max(size for _, size in vendor.asked) == 500


async def test_the_page_size_may_change_from_page_to_page() -> None:
    vendor = Vendor(list(range(40)), least=8)
    request = ListDestinationsRequest(parent="connections/acme")
    found: list[str] = []
    for size in [3, 9, 1, 20, 2, 500]:
        request.page_size = size
        page = await walk(SEALER, request, "acme", vendor.fetch)
        found += [item.name for item in page.items]
        request.page_token = page.next_page_token
    assert found == names(vendor.numbers)
    assert not request.page_token


async def test_pages_are_cut_at_three_mebibytes() -> None:
    vendor = Vendor(list(range(9)), display_name="x" * (1 << 20))
    found = await pages(vendor.fetch, 50)
    assert [len(page) for page in found] == [2, 2, 2, 2, 1]
    assert flat(found) == names(vendor.numbers)


async def test_an_item_larger_than_a_page_goes_alone() -> None:
    items = [destination(1), destination(2, "x" * MAX_PAGE_BYTES), destination(3)]
    found = await pages(fetch_from(items), 50)
    assert found == [names([1]), names([2]), names([3])]


async def test_items_without_ids_are_counted() -> None:
    entries = [LogEntry(text=str(number)) for number in range(10)]

    async def fetch(cursor: str, size: int) -> Page[LogEntry]:
        return Page(entries)

    request = ListExportJobLogEntriesRequest(parent="connections/acme/exportJobs/1", page_size=4)
    found: list[LogEntry] = []
    for expected in [4, 4, 2]:
        page = await walk(SEALER, request, "acme", fetch, key=lambda entry: entry.entry_id)
        assert len(page.items) == expected
        found += page.items
        request.page_token = page.next_page_token
    assert found == entries
    assert not request.page_token


@pytest.mark.parametrize("change", ["delete", "insert"])
@UNHURRIED
@given(data=st.data(), count=st.integers(0, 40), size=st.integers(1, 9), least=st.integers(0, 60))
async def test_what_exists_throughout_appears_exactly_once(
    data: st.DataObject, change: str, count: int, size: int, least: int
) -> None:
    vendor = Vendor([1000 * number for number in range(count)], least=least)
    throughout = set(vendor.numbers)
    deletable = [number for number in vendor.numbers if number % 7000]  # fewer neighbours than there are anchors

    def delete() -> None:
        for victim in data.draw(st.lists(st.sampled_from(deletable), unique=True)) if deletable else []:
            deletable.remove(victim)
            vendor.numbers.remove(victim)
            throughout.discard(victim)

    def insert() -> None:
        new = st.integers(0, 1000 * count).filter(lambda number: number % 1000)
        vendor.numbers = sorted({*vendor.numbers, *data.draw(st.lists(new, max_size=7))})

    found = flat(await pages(vendor.fetch, size, between=delete if change == "delete" else insert))
    assert len(found) == len(set(found))
    assert set(names(sorted(throughout))) <= set(found)


@pytest.mark.parametrize(
    ("size", "least", "before", "inserted", "expected"),
    [
        # The last one given is pushed out of its page, the one before it is not.
        (2, 3, [10, 20, 30, 40], [11, 12, 13, 14, 15], [10, 20, 11, 12, 13, 14, 30, 40]),
        # All that was given is pushed out; 5 comes to stand before what was given, so it is passed over.
        (1, 2, [10, 20, 30], [1, 2, 3, 4, 5], [10, 1, 2, 3, 4, 20, 30]),
    ],
)
async def test_what_new_items_push_out_of_its_page_is_not_given_again(
    size: int, least: int, before: list[int], inserted: list[int], expected: list[int]
) -> None:
    vendor = Vendor(before, least=least)

    def insert() -> None:
        vendor.numbers = sorted({*before, *inserted})

    assert flat(await pages(vendor.fetch, size, between=insert)) == names(expected)


@pytest.mark.parametrize("left", [[], [8], [9, 15], [0, 8, 9]])
async def test_a_page_that_shrank_below_what_was_given_of_it_skips_nothing(left: list[int]) -> None:
    vendor = Vendor(list(range(20)), least=10)
    request = ListDestinationsRequest(parent="connections/acme", page_size=9)
    request.page_token = (await walk(SEALER, request, "acme", vendor.fetch)).next_page_token
    vendor.numbers = left
    page = await walk(SEALER, request, "acme", vendor.fetch)
    assert page == Listed([destination(number) for number in left if number > 8], "")


async def test_a_page_of_items_without_ids_may_shrink_too() -> None:
    entries = [LogEntry(text=str(number)) for number in range(5)]

    async def fetch(cursor: str, size: int) -> Page[LogEntry]:
        return Page(entries)

    request = ListExportJobLogEntriesRequest(parent="connections/acme/exportJobs/1", page_size=4)
    page = await walk(SEALER, request, "acme", fetch, key=lambda entry: entry.entry_id)
    del entries[2:]
    request.page_token = page.next_page_token
    assert await walk(SEALER, request, "acme", fetch, key=lambda entry: entry.entry_id) == Listed([], "")


async def test_a_caller_that_deletes_each_page_sees_every_item_once() -> None:
    vendor = Vendor(list(range(100)), least=60)
    everything_there = names(vendor.numbers)
    request = ListDestinationsRequest(parent="connections/acme", page_size=9)
    found: list[str] = []
    while request.page_token or not found:
        page = await walk(SEALER, request, "acme", vendor.fetch)
        found += [item.name for item in page.items]
        vendor.numbers = [number for number in vendor.numbers if destination(number).name not in found]
        request.page_token = page.next_page_token
    assert found == everything_there


# Circles.


@pytest.mark.parametrize("size", [1, 3, 50])
@UNHURRIED
@given(before=st.integers(0, 12), length=st.integers(1, 12))
async def test_a_vendor_that_goes_in_a_circle_is_found_out(size: int, before: int, length: int) -> None:
    reads = 0

    async def fetch(cursor: str, asked: int) -> Page[Destination]:
        nonlocal reads
        reads += 1
        place = int(cursor or 0)
        following = place + 1 if place + 1 < before + length else before
        return Page([destination(place)], str(following) if following else "first")

    async def first_is_zero(cursor: str, asked: int) -> Page[Destination]:
        return await fetch(cursor.replace("first", ""), asked)

    with pytest.raises(ProtocolViolation, match="circle") as caught:
        await pages(first_is_zero, size)
    assert caught.value.reason == "VENDOR_PROTOCOL"
    assert caught.value.connection == "acme"
    assert reads <= 2 * max(before + 1, length) + length + 1


async def test_a_circle_within_a_call_is_found_at_its_first_repeat() -> None:
    following = {"": "a", "a": "b", "b": "c", "c": "d", "d": "c"}
    asked = []

    async def fetch(cursor: str, size: int) -> Page[Destination]:
        asked.append(cursor)
        return Page([], following[cursor])

    with pytest.raises(ProtocolViolation):
        await walk(SEALER, ListDestinationsRequest(), "acme", fetch)
    assert asked == ["", "a", "b", "c", "d"]


@pytest.mark.parametrize("stuck", ["a", "b", "c", "d", "e"])
async def test_a_page_that_names_itself_as_the_next_is_a_circle_at_once(stuck: str) -> None:
    following = {"": "a", "a": "b", "b": "c", "c": "d", "d": "e", "e": ""} | {stuck: stuck}

    async def fetch(cursor: str, size: int) -> Page[Destination]:
        asked.append(cursor)
        return Page([destination(len(asked))], following[cursor])

    asked: list[str] = []
    with pytest.raises(ProtocolViolation):
        await pages(fetch, 1)
    assert asked == ["", *"abcde"[: "abcde".index(stuck) + 1]]


async def test_reading_a_page_again_is_no_circle() -> None:
    vendor = Vendor(list(range(40)), least=20)
    assert flat(await pages(vendor.fetch, 1)) == names(vendor.numbers)


# Sizes and lists that are all here.


@pytest.mark.parametrize(("asked", "used"), [(0, 50), (1, 1), (500, 500), (501, 500), (2**31 - 1, 500)])
def test_a_page_size_has_a_default_and_a_maximum(asked: int, used: int) -> None:
    assert page_size(asked) == used


def test_a_negative_page_size_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        page_size(-1)
    assert caught.value.reason == "INVALID_FIELD"
    assert [violation.field for violation in caught.value.violations] == ["page_size"]


@pytest.mark.parametrize("size", AWKWARD)
async def test_a_list_that_is_all_here_comes_in_the_order_of_its_names(size: int) -> None:
    items = [destination(number) for number in (5, 3, 9, 1, 7)]
    found = await pages(fetch_from(items), size)
    assert flat(found) == names([1, 3, 5, 7, 9])
    assert all(found)
    assert await pages(fetch_from(items[:0]), size) == [[]]


# Tokens.

REQUEST = ListDestinationsRequest(parent="connections/acme", filter="disabled = true", page_size=3)
PLACES = (Progress("acme", "cursor/é", 3, (b"12345678",), 5, b"abcdefgh", 1), Progress("other"))


def with_token(request: ListRequest, token: str) -> ListRequest:
    copy = type(request).FromString(request.SerializeToString())
    copy.page_token = token
    return copy


def refused(sealer: TokenSealer, request: ListRequest) -> str:
    with pytest.raises(InvalidRequest) as caught:
        sealer.unseal(request)
    assert caught.value.reason == "INVALID_PAGE_TOKEN"
    assert [violation.field for violation in caught.value.violations] == ["page_token"]
    return caught.value.message


def test_a_token_brings_back_what_was_sealed() -> None:
    assert SEALER.unseal(with_token(REQUEST, SEALER.seal(PLACES, REQUEST))) == PLACES


def test_no_token_is_the_start_and_no_place_is_the_end() -> None:
    assert SEALER.unseal(REQUEST) == ()
    assert SEALER.seal((), REQUEST) == ""


@given(st.text(max_size=300), st.integers(0, 2**40), st.lists(st.binary(max_size=8), max_size=8))
def test_tokens_are_url_safe_and_hold_any_cursor(cursor: str, skip: int, anchors: list[bytes]) -> None:
    place = Progress("acme", cursor, skip, tuple(anchors))
    token = SEALER.seal([place], REQUEST)
    assert all(character.isascii() and (character.isalnum() or character in "-_") for character in token)
    assert SEALER.unseal(with_token(REQUEST, token)) == (place,)


def test_the_page_size_may_change_under_a_token() -> None:
    request = with_token(REQUEST, SEALER.seal(PLACES, REQUEST))
    request.page_size = 7
    assert SEALER.unseal(request) == PLACES


@pytest.mark.parametrize(
    "changed",
    [
        {"parent": "connections/other"},
        {"filter": "disabled = false"},
        {"filter": ""},
        {"order_by": "display_name"},
        {"show_deleted": True},
        {"view": DestinationView.DESTINATION_VIEW_FULL},
    ],
    ids=str,
)
def test_a_changed_argument_is_told(changed: dict[str, object]) -> None:
    request = ListDestinationsRequest(page_token=SEALER.seal(PLACES, REQUEST))
    request.MergeFrom(ListDestinationsRequest(parent=REQUEST.parent, filter=REQUEST.filter))
    assert SEALER.unseal(request) == PLACES
    for name, value in changed.items():
        setattr(request, name, value)
    assert "is of another list" in refused(SEALER, request)


@pytest.mark.parametrize(
    "other", [ListExportJobsRequest(), ListSubscriptionsRequest(), ListConnectionsRequest()], ids=type
)
def test_a_token_of_another_method_is_told(other: ListRequest) -> None:
    token = SEALER.seal(PLACES, ListDestinationsRequest())
    assert "is of another list" in refused(SEALER, with_token(other, token))


def test_a_token_lasts_three_days() -> None:
    now_s = 1_769_846_400.0
    sealer = TokenSealer(KEY, clock=lambda: now_s)
    request = with_token(REQUEST, sealer.seal(PLACES, REQUEST))
    now_s += 3 * 24 * 3600
    assert sealer.unseal(request) == PLACES
    now_s += 1
    assert "is older than 3 days" in refused(sealer, request)


@given(st.data())
def test_no_altered_token_opens(data: st.DataObject) -> None:
    raw = bytearray(urlsafe_b64decode(SEALER.seal(PLACES, REQUEST) + "=="))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    token = urlsafe_b64encode(raw).rstrip(b"=").decode()
    assert "none of this gateway's" in refused(SEALER, with_token(REQUEST, token))


@given(st.one_of(st.text(min_size=1), st.text("abcXYZ019-_", min_size=1)))
def test_no_made_up_token_opens(token: str) -> None:
    assert "none of this gateway's" in refused(SEALER, with_token(REQUEST, token))


def sealed_by_hand(version: int, cursor: str) -> str:
    """A token as the format has it: a MAC of 16 bytes, the version, then when, what for, and the places."""
    token = urlsafe_b64decode(SEALER.seal([Progress("acme")], REQUEST) + "==")
    issued_s, bound, _ = msgspec.msgpack.decode(token[17:])
    payload = bytes([version]) + msgspec.msgpack.encode([issued_s, bound, [["acme", cursor]]])
    return urlsafe_b64encode(hmac.digest(KEY, payload, "sha256")[:16] + payload).rstrip(b"=").decode()


def test_a_token_of_another_version_is_none_of_ours() -> None:
    assert SEALER.unseal(with_token(REQUEST, sealed_by_hand(1, "there"))) == (Progress("acme", "there"),)
    assert "none of this gateway's" in refused(SEALER, with_token(REQUEST, sealed_by_hand(2, "there")))


def test_a_token_that_is_too_long_is_not_even_looked_at() -> None:
    longest = "x" * (MAX_TOKEN_CHARS * 3 // 4 - 100)
    assert SEALER.unseal(with_token(REQUEST, sealed_by_hand(1, longest)))
    assert "none of this gateway's" in refused(SEALER, with_token(REQUEST, sealed_by_hand(1, f"{longest}{'x' * 100}")))


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 20, 30])
def test_no_truncated_token_opens(cut: int) -> None:
    refused(SEALER, with_token(REQUEST, SEALER.seal(PLACES, REQUEST)[:-cut]))


def test_keys_rotate() -> None:
    old, new = b"o" * 32, b"n" * 32
    before = with_token(REQUEST, TokenSealer(old).seal(PLACES, REQUEST))
    rotating = TokenSealer(new, old)
    assert rotating.unseal(before) == PLACES
    after = with_token(REQUEST, rotating.seal(PLACES, REQUEST))
    assert TokenSealer(new).unseal(after) == PLACES
    assert "its key is no longer in use" in refused(TokenSealer(new), before)


def test_without_a_key_every_process_has_its_own() -> None:
    one, other = TokenSealer(), TokenSealer()
    request = with_token(REQUEST, one.seal(PLACES, REQUEST))
    assert one.unseal(request) == PLACES
    refused(other, request)


def test_a_token_is_never_longer_than_what_is_taken_back() -> None:
    longest = MAX_TOKEN_CHARS * 3 // 4
    fits = SEALER.seal([Progress("acme", "x" * (longest - 100))], REQUEST)
    assert len(fits) > MAX_TOKEN_CHARS - 150
    assert SEALER.unseal(with_token(REQUEST, fits))
    with pytest.raises(ProtocolViolation, match="too long"):
        SEALER.seal([Progress("acme", "x" * longest)], REQUEST)


def test_a_hundred_connections_fit_into_a_token() -> None:
    places = [Progress("c" * 20, "x" * 330, 499, (b"12345678",) * 8, 1000, b"12345678", 1)] * 100
    assert len(SEALER.seal(places, REQUEST)) <= MAX_TOKEN_CHARS


async def test_a_walk_refuses_a_foreign_token_before_anything_is_read() -> None:
    vendor = Vendor([1, 2, 3])
    request = with_token(REQUEST, TokenSealer().seal([Progress("acme")], REQUEST))
    with pytest.raises(InvalidRequest):
        await walk(SEALER, request, "acme", vendor.fetch)
    assert vendor.asked == []
