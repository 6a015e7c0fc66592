"""Several lists as one, newest first: each item that stays is given once, whatever happens between the pages."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import Page
from adapters.errors import InvalidRequest, ProtocolViolation
from adapters.newest import read


class Item(NamedTuple):
    id: str
    time: int


@dataclass
class Lists:
    """A vendor whose cursors are positions, so that everything new shifts them."""

    items: dict[str, list[Item]]
    count: int = 3
    oldest_first: bool = False
    calls: list[tuple[str, str]] = field(default_factory=list)

    async def fetch(self, ids: tuple[str, ...], cursor: str) -> Page[Item]:
        self.calls.append((ids[0], cursor))
        start, items = int(cursor or 0), sorted(self.items[ids[0]], key=attrgetter("time"), reverse=True)
        if self.oldest_first:
            items.reverse()
        end = start + self.count
        return Page(items[start:end], str(end) if end < len(items) else "")

    async def names(self) -> Sequence[tuple[str, ...]]:
        return [(name,) for name in self.items]

    async def page(self, cursor: str, size: int) -> Page[Item]:
        return await read(self.fetch, self.names, cursor, size, when=attrgetter("time"), key=attrgetter("id"))


def lists(*times: Sequence[int], count: int = 3, oldest_first: bool = False) -> Lists:
    """Return a vendor with one list for each of *times*."""
    named = {f"list{n}": [Item(f"{n}.{i}", time) for i, time in enumerate(row)] for n, row in enumerate(times)}
    return Lists(named, count, oldest_first)


async def walk(vendor: Lists, size: int) -> list[Item]:
    found: list[Item] = []
    cursor = ""
    for _ in range(200):
        page = await vendor.page(cursor, size)
        assert len(page.items) <= size
        found += page.items
        cursor = page.next_cursor
        if not cursor:
            return found
    raise AssertionError("the walk does not end")


def several(*, unique: bool) -> st.SearchStrategy[list[list[int]]]:
    return st.lists(st.lists(st.integers(0, 12), max_size=12, unique=unique), min_size=1, max_size=4)


# Times may be alike, but in a list of the other order, of which a page of nothing else would say nothing.
TIMES = st.one_of(
    st.tuples(several(unique=False), st.just(False)),
    st.tuples(several(unique=True), st.just(True)),
)


@given(TIMES, st.integers(1, 9), st.integers(2, 5))
async def test_pages_concatenate_to_the_whole_newest_first(
    times: tuple[list[list[int]], bool], size: int, count: int
) -> None:
    vendor = lists(*times[0], count=count, oldest_first=times[1])
    found = await walk(vendor, size)
    assert sorted(found) == sorted(item for row in vendor.items.values() for item in row)
    assert [item.time for item in found] == sorted((item.time for item in found), reverse=True)


CHANGES = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3), st.integers(0, 3)), max_size=12)
"""Between two pages: how many items are new in which list, and how many of its oldest are forgotten."""


@given(TIMES, st.integers(1, 7), st.integers(2, 5), CHANGES)
async def test_what_stays_is_given_exactly_once_while_items_come_and_the_oldest_go(
    times: tuple[list[list[int]], bool], size: int, count: int, changes: list[tuple[int, int, int]]
) -> None:
    vendor = lists(*times[0], count=count, oldest_first=times[1])
    before = {item for row in vendor.items.values() for item in row}
    found: list[Item] = []
    page, left = Page[Item]([]), list(changes)
    for now in range(100, 400):
        page = await vendor.page(page.next_cursor, size)
        found += page.items
        if not page.next_cursor:
            break
        if left:
            new, which, forgotten = left.pop(0)
            row = vendor.items[f"list{which % len(times[0])}"]
            row += [Item(f"new.{now}.{i}", 10 * now + i) for i in range(new)]
            # From the end of the list, as the vendor shows it.
            for item in sorted(row, key=attrgetter("time"), reverse=True)[max(0, len(row) - forgotten) :]:
                row.remove(item)
    after = {item for row in vendor.items.values() for item in row}
    assert len(found) == len(set(found))
    assert before & after <= set(found) <= before


async def test_a_list_is_not_read_beyond_what_a_page_needs() -> None:
    vendor = lists(range(100, 130), range(50, 80), count=10)
    await vendor.page("", 5)
    assert vendor.calls == [("list0", ""), ("list1", "")]
    vendor.calls.clear()
    await vendor.page("", 11)
    assert vendor.calls == [("list0", ""), ("list1", ""), ("list0", "10")]


async def test_of_many_lists_only_those_are_read_again_that_may_be_next() -> None:
    vendor = lists(*(range(start, start + 30) for start in range(0, 3000, 100)), count=10)
    first = await vendor.page("", 5)
    assert len(vendor.calls) == 30
    vendor.calls.clear()
    second = await vendor.page(first.next_cursor, 30)
    assert [item.time for item in (*first.items, *second.items)] == [*range(2929, 2899, -1), *range(2829, 2824, -1)]
    assert len(vendor.calls) == 8 + 2
    assert {name for name, _ in vendor.calls} == {f"list{n}" for n in range(22, 30)}


async def test_a_page_given_in_part_is_read_again_and_one_given_whole_is_not() -> None:
    vendor = lists(range(30), count=10)
    first = await vendor.page("", 4)
    second = await vendor.page(first.next_cursor, 6)
    vendor.calls.clear()
    third = await vendor.page(second.next_cursor, 10)
    assert vendor.calls == [("list0", "10")]
    assert [item.time for item in third.items] == list(range(19, 9, -1))


async def test_the_lists_are_those_of_the_beginning() -> None:
    vendor = lists([5, 4, 3], [2, 1])
    first = await vendor.page("", 1)
    vendor.items["late"] = [Item("late", 0)]
    rest = await vendor.page(first.next_cursor, 50)
    assert [item.time for item in (*first.items, *rest.items)] == [5, 4, 3, 2, 1]


async def test_no_lists_are_an_empty_page() -> None:
    assert await lists().page("", 10) == Page([])


async def test_a_list_that_names_a_page_again_is_told_from_one_that_ends() -> None:
    async def fetch(ids: tuple[str, ...], cursor: str) -> Page[Item]:
        return Page([], {"": "a", "a": "b", "b": "a"}[cursor])

    async def names() -> Sequence[tuple[str, ...]]:
        return [("list0",)]

    with pytest.raises(ProtocolViolation, match="circle"):
        await read(fetch, names, "", 10, when=attrgetter("time"), key=attrgetter("id"))


@pytest.mark.parametrize("cursor", ["x", "1", "1AAAA", "1!!", "2kpA", "1kgA"])
async def test_a_cursor_of_something_else_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await lists([1]).page(cursor, 10)
    assert refused.value.reason == "INVALID_PAGE_TOKEN"
