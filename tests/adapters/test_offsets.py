"""Paging by offset over a list that changes between the pages."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.errors import InvalidRequest, ProtocolViolation
from adapters.offsets import ANCHORS, FORWARD_READS, KEEP_READS, everything, read

UNHURRIED = settings(deadline=None)  # a walk is many awaits, and the machine may be busy


@dataclass
class Vendor:
    """A list that is read by offset, and a journal of the reads."""

    items: list[str]
    max_limit: int = 1000
    reads: list[tuple[int, int]] = field(default_factory=list)

    async def fetch(self, offset: int, limit: int) -> Sequence[str]:
        assert offset >= 0
        assert 1 <= limit <= self.max_limit
        self.reads.append((offset, limit))
        return self.items[offset : offset + limit]


def numbered(count: int) -> Vendor:
    return Vendor([f"id-{number}" for number in range(count)])


def unchanged(_: list[str]) -> None:
    pass


async def walk(
    vendor: Vendor,
    size: int,
    max_limit: int,
    between: Callable[[list[str]], None] = unchanged,
    keep: Callable[[str], bool] = everything,
) -> list[list[str]]:
    """Return the pages of one walk; *between* sees what each page but the last one gave."""
    vendor.max_limit = max_limit
    pages: list[list[str]] = []
    cursor = ""
    while cursor or not pages:
        page = await read(vendor.fetch, str, cursor, size, max_limit, keep=keep)
        pages.append(page.items)
        cursor = page.next_cursor
        assert len(page.items) <= size
        assert len(pages) < 1000
        if cursor:
            assert page.items or keep is not everything
            between(page.items)
    return pages


def flat(pages: list[list[str]]) -> list[str]:
    return [item for page in pages for item in page]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 50, 101])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 501])
@pytest.mark.parametrize("max_limit", [1, 2, 100])
async def test_pages_concatenate_to_the_whole(count: int, size: int, max_limit: int) -> None:
    vendor = numbered(count)
    assert flat(await walk(vendor, size, max_limit)) == vendor.items


async def test_a_page_of_an_unchanged_list_is_one_read_with_one_item_of_overlap() -> None:
    vendor = numbered(7)
    pages = await walk(vendor, 3, 100)
    assert [len(page) for page in pages] == [3, 3, 1]
    assert vendor.reads == [(0, 3), (2, 4), (5, 4)]


async def test_what_the_vendor_takes_at_once_is_never_exceeded() -> None:
    vendor = numbered(120)
    pages = await walk(vendor, 500, 50)
    assert [len(page) for page in pages] == [50, 49, 21]
    assert {limit for _, limit in vendor.reads} == {50}


async def test_a_page_that_ends_with_the_list_is_followed_by_an_empty_one() -> None:
    assert [len(page) for page in await walk(numbered(6), 3, 100)] == [3, 3, 0]


async def test_a_full_page_that_reaches_the_end_by_way_of_a_short_read_is_the_last_one() -> None:
    vendor = numbered(4)
    first = await read(vendor.fetch, str, "", 2, 100)
    vendor.items.pop(0)
    assert await read(vendor.fetch, str, first.next_cursor, 2, 100) == (["id-2", "id-3"], "")


async def test_deletes_before_the_place_skip_nothing() -> None:
    vendor = numbered(20)
    first = await read(vendor.fetch, str, "", 6, 100)
    del vendor.items[0:5]
    vendor.reads.clear()
    second = await read(vendor.fetch, str, first.next_cursor, 6, 100)
    assert second.items == [f"id-{number}" for number in range(6, 12)]
    assert vendor.reads == [(5, 7), (0, 5)]


async def test_inserts_before_the_place_repeat_nothing() -> None:
    vendor = numbered(20)
    first = await read(vendor.fetch, str, "", 6, 100)
    vendor.items[:0] = ["new-1", "new-2"]
    second = await read(vendor.fetch, str, first.next_cursor, 6, 100)
    assert second.items == [f"id-{number}" for number in range(6, 10)]
    third = await read(vendor.fetch, str, second.next_cursor, 6, 100)
    assert third.items == [f"id-{number}" for number in range(10, 16)]


async def test_many_inserts_before_the_place_are_read_over() -> None:
    vendor = numbered(40)
    first = await read(vendor.fetch, str, "", 2, 10)
    vendor.items[:0] = [f"new-{number}" for number in range(25)]
    second = await read(vendor.fetch, str, first.next_cursor, 2, 10)
    assert second.items == ["id-2", "id-3"]


async def test_as_many_inserts_as_a_read_holds_cost_one_read_more() -> None:
    vendor = numbered(9)
    first = await read(vendor.fetch, str, "", 3, 100)
    vendor.items[:0] = ["new-1", "new-2", "new-3"]
    vendor.reads.clear()
    assert (await read(vendor.fetch, str, first.next_cursor, 3, 100)).items == ["id-3", "id-4", "id-5"]
    assert vendor.reads == [(2, 4), (6, 3)]


async def test_the_last_item_given_may_vanish() -> None:
    vendor = numbered(200)
    first = await read(vendor.fetch, str, "", 50, 50)
    vendor.items.remove("id-49")
    second = await read(vendor.fetch, str, first.next_cursor, 50, 50)
    assert second.items == [f"id-{number}" for number in range(50, 100)]


async def test_new_items_among_those_given_do_not_bring_the_given_back() -> None:
    vendor = numbered(30)
    first = await read(vendor.fetch, str, "", 1, 10)
    second = await read(vendor.fetch, str, first.next_cursor, 1, 10)
    vendor.items[1:1] = ["new-1", "new-2"]
    third = await read(vendor.fetch, str, second.next_cursor, 1, 10)
    assert third.items == ["id-2"]


async def test_a_caller_that_deletes_each_page_sees_every_item_once() -> None:
    vendor = numbered(500)
    at_first = list(vendor.items)

    def delete(given: list[str]) -> None:
        vendor.items = [item for item in vendor.items if item not in given]

    pages = await walk(vendor, 50, 100, delete)
    assert flat(pages) == at_first
    assert len(vendor.reads) <= len(pages) * (2 + FORWARD_READS)


async def test_when_the_last_eight_are_gone_an_older_anchor_bounds_what_is_repeated() -> None:
    vendor = numbered(1000)
    first = await read(vendor.fetch, str, "", 300, 500)
    del vendor.items[292:300]
    second = await read(vendor.fetch, str, first.next_cursor, 300, 500)
    assert "id-300" in second.items
    repeated = second.items[: second.items.index("id-300")]
    assert repeated == vendor.items[292 - len(repeated) : 292]
    assert len(repeated) < 8


async def test_older_anchors_reach_back_as_far_as_the_walk_has_come() -> None:
    vendor = numbered(200)
    cursor = ""
    for _ in range(100):
        cursor = (await read(vendor.fetch, str, cursor, 1, 50)).next_cursor
    del vendor.items[70:100]
    page = await read(vendor.fetch, str, cursor, 50, 50)
    assert page.items[0] in vendor.items[30:71]


async def test_the_search_backwards_takes_doubling_steps() -> None:
    vendor = numbered(300)
    first = await read(vendor.fetch, str, "", 200, 1000)
    second = await read(vendor.fetch, str, first.next_cursor, 4, 40)
    del vendor.items[0:90]
    vendor.reads.clear()
    third = await read(vendor.fetch, str, second.next_cursor, 4, 40)
    assert third.items == ["id-204", "id-205", "id-206", "id-207"]
    assert vendor.reads == [(203, 5), (199, 4), (191, 8), (175, 16), (143, 32), (103, 40)]


@pytest.mark.parametrize("size", [1, 3, 50, 500])
async def test_a_cursor_stays_short_however_far_the_walk_and_however_long_the_ids(size: int) -> None:
    vendor = Vendor([f"{number:05}{'x' * 1000}" for number in range(3000)])
    cursors = []
    cursor = ""
    for _ in range(3000 // size - 1):
        cursor = (await read(vendor.fetch, str, cursor, size, 1000)).next_cursor
        cursors.append(cursor)
    assert max(map(len, cursors)) < 330
    assert all(character.isalnum() or character in "-_" for character in "".join(cursors))


def is_seventh(item: str) -> bool:
    return int(item.removeprefix("id-")) % 7 == 0 if item.startswith("id-") else item.endswith("3")


async def test_pages_are_filled_with_what_is_kept() -> None:
    vendor = numbered(100)
    pages = await walk(vendor, 4, 50, keep=is_seventh)
    assert [len(page) for page in pages] == [4, 4, 4, 3]
    assert flat(pages) == [item for item in vendor.items if is_seventh(item)]


async def test_a_page_reads_on_a_few_times_for_what_is_kept() -> None:
    vendor = numbered(1000)
    page = await read(vendor.fetch, str, "", 3, 50, keep=lambda item: item == "id-900")
    assert page.items == []
    assert vendor.reads == [(0, 3), *((3 + 50 * number, 50) for number in range(KEEP_READS))]
    pages = await walk(vendor, 3, 50, keep=lambda item: item == "id-900")
    assert flat(pages) == ["id-900"]


async def test_a_page_that_holds_all_that_is_kept_is_the_last_one() -> None:
    vendor = numbered(20)
    page = await read(vendor.fetch, str, "", 3, 50, keep=is_seventh)
    assert page == (["id-0", "id-7", "id-14"], "")


class Deaf(Vendor):
    """Ignores the offset."""

    async def fetch(self, offset: int, limit: int) -> Sequence[str]:
        return await super().fetch(0, limit)


async def test_a_vendor_that_ignores_the_offset_is_told_from_a_list() -> None:
    deaf = Deaf(numbered(100).items)
    with pytest.raises(ProtocolViolation, match="does not move on") as caught:
        await walk(deaf, 10, 50)
    assert caught.value.reason == "VENDOR_PROTOCOL"
    assert len(deaf.reads) < 30


@UNHURRIED
@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 12), st.booleans())
async def test_a_vendor_that_ignores_the_offset_comes_to_an_end_and_gives_nothing_twice(
    count: int, size: int, max_limit: int, keep_some: bool
) -> None:
    deaf = Deaf(numbered(count).items)
    seen: list[str] = []
    with suppress(ProtocolViolation):
        pages = await walk(deaf, size, max_limit, seen.extend, is_seventh if keep_some else everything)
        seen = flat(pages)
    assert len(seen) == len(set(seen))
    assert len(deaf.reads) < 100


async def test_an_item_that_comes_again_and_again_is_no_progress() -> None:
    async def fetch(offset: int, limit: int) -> Sequence[str]:
        return ["id-0"] * limit

    page = await read(fetch, str, "", 1, 100)
    with pytest.raises(ProtocolViolation, match="does not move on"):
        await read(fetch, str, page.next_cursor, 1, 100)


@pytest.mark.parametrize("cursor", ["x", "1", "1!!!!", "1AAAA", "2kgGQ", "1kgCRkgHEAWE", "1kgGQ", "1é", "1\x00"])
async def test_a_cursor_that_is_none_is_refused_before_anything_is_read(cursor: str) -> None:
    vendor = numbered(3)
    with pytest.raises(InvalidRequest) as caught:
        await read(vendor.fetch, str, cursor, 3, 100)
    assert caught.value.reason == "INVALID_PAGE_TOKEN"
    assert vendor.reads == []


async def test_a_cursor_of_another_version_or_with_a_mark_in_it_is_refused() -> None:
    vendor = numbered(3)
    cursor = (await read(vendor.fetch, str, "", 1, 100)).next_cursor
    assert (await read(vendor.fetch, str, cursor, 1, 100)).items == ["id-1"]
    for wrong in (f"2{cursor[1:]}", f"{cursor[:5]}!!!!{cursor[5:]}", cursor[:-1], f"{cursor}AAAA"):
        with pytest.raises(InvalidRequest):
            await read(vendor.fetch, str, wrong, 1, 100)


class Changes:
    """Random edits of a vendor's list between pages: what is inserted is new, what is left keeps its order."""

    def __init__(self, vendor: Vendor, data: st.DataObject, *, most_gone: int, most_inserts: int) -> None:
        self.throughout = set(vendor.items)
        self._vendor = vendor
        self._data = data
        self._most_gone = most_gone
        self._most_inserts = most_inserts
        self._given: list[str] = []
        self._fresh = [f"new-{number}" for number in range(40)]  # not more, or a walk might never end

    def __call__(self, given_now: list[str]) -> None:
        self._given += given_now
        items = self._vendor.items
        for victim in self._data.draw(st.lists(st.sampled_from(items), unique=True)) if items else []:
            if self._neighbours_gone_without(victim) <= self._most_gone:
                items.remove(victim)
                self.throughout.discard(victim)
        # Side by side as often as scattered: what is inserted in one place is what hides an anchor.
        index = self._data.draw(st.integers(0, len(items)))
        for _ in range(self._data.draw(st.integers(0, min(self._most_inserts, len(self._fresh))))):
            items.insert(index, self._fresh.pop())
            index = self._data.draw(st.one_of(st.just(index), st.integers(0, len(items))))

    def _neighbours_gone_without(self, victim: str) -> int:
        left = set(self._vendor.items) - {victim}
        runs = groupby(self._given, key=lambda item: item not in left)
        return max((len(list(run)) for gone, run in runs if gone), default=0)


@UNHURRIED
@given(st.data(), st.integers(0, 40), st.integers(1, 9), st.integers(1, 12))
async def test_what_exists_throughout_appears_exactly_once(
    data: st.DataObject, count: int, size: int, max_limit: int
) -> None:
    vendor = numbered(count)
    changes = Changes(vendor, data, most_gone=ANCHORS - 1, most_inserts=FORWARD_READS * max_limit)
    seen = flat(await walk(vendor, size, max_limit, changes))
    assert len(seen) == len(set(seen))
    assert changes.throughout <= set(seen)


@UNHURRIED
@given(st.data(), st.integers(0, 40), st.integers(1, 9), st.integers(1, 12))
async def test_what_is_kept_and_exists_throughout_is_never_skipped(
    data: st.DataObject, count: int, size: int, max_limit: int
) -> None:
    vendor = numbered(count)
    changes = Changes(vendor, data, most_gone=1000, most_inserts=40)
    seen = set(flat(await walk(vendor, size, max_limit, changes, keep=is_seventh)))
    assert set(filter(is_seventh, changes.throughout)) <= seen
    assert all(map(is_seventh, seen))


@UNHURRIED
@given(st.data(), st.integers(0, 40), st.integers(1, 9), st.integers(1, 12))
async def test_what_exists_throughout_is_never_skipped_whatever_happens_to_the_rest(
    data: st.DataObject, count: int, size: int, max_limit: int
) -> None:
    vendor = numbered(count)
    changes = Changes(vendor, data, most_gone=1000, most_inserts=40)
    assert changes.throughout <= set(flat(await walk(vendor, size, max_limit, changes)))
