"""One list over several connections: shares, turns, failures, and one token for all."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import calls
from adapters.base import Page
from adapters.errors import ApiError, InvalidRequest, Overloaded, TimedOut, Unavailable
from audiencegateway.v1.destinations_pb2 import Destination, ListDestinationsRequest
from gateway.fanout import Spread, fan_out
from gateway.paging import MAX_PAGE_BYTES, Fetch, TokenSealer

SEALER = TokenSealer(b"k" * 32)
LONG_S = 3600.0
UNHURRIED = settings(deadline=None)  # a walk is many awaits, and the machine may be busy


@dataclass
class Source:
    """A connection's items by number behind keyset cursors, and what it answers with instead, if anything."""

    connection: str
    numbers: list[int]
    most: int = 1000
    least: int = 0
    display_name: str = ""
    error: Callable[[], ApiError | None] = lambda: None
    asked: list[tuple[str, int]] = field(default_factory=list)

    async def fetch(self, cursor: str, size: int) -> Page[Destination]:
        self.asked.append((cursor, size))
        if error := self.error():
            raise error
        rest = [number for number in self.numbers if not cursor or number > int(cursor)]
        page = rest[: max(min(size, self.most), self.least)]
        items = [Destination(name=self.name(number), display_name=self.display_name) for number in page]
        return Page(items, "" if len(page) == len(rest) else str(page[-1]))

    def name(self, number: int) -> str:
        return f"connections/{self.connection}/destinations/{number:05}"

    def names(self) -> list[str]:
        return [self.name(number) for number in self.numbers]


def sources_of(**counts: int) -> list[Source]:
    return [Source(connection, list(range(count))) for connection, count in counts.items()]


class List:
    """A list that is asked for page by page."""

    def __init__(self, sources: list[Source] | Mapping[str, Fetch[Destination]], size: int) -> None:
        fetches = {source.connection: source.fetch for source in sources} if isinstance(sources, list) else sources
        self.fetches: Mapping[str, Fetch[Destination]] = fetches
        self.request = ListDestinationsRequest(parent="connections/-", page_size=size)
        self.slice_s = LONG_S

    async def page(self) -> Spread[Destination]:
        page = await fan_out(SEALER, self.request, self.fetches, self.slice_s)
        self.request.page_token = page.next_page_token
        assert len(page.items) <= self.request.page_size
        return page

    async def pages(self) -> list[Spread[Destination]]:
        pages = [await self.page()]
        while self.request.page_token:
            pages.append(await self.page())
            assert len(pages) < 1000
        return pages


def names(*pages: Spread[Destination]) -> list[str]:
    return [item.name for page in pages for item in page.items]


def parts(page: Spread[Destination]) -> dict[str, int]:
    """Return how many items of a page each connection gave."""
    return dict(Counter(item.name.split("/")[1] for item in page.items))


def random_sources(draw: st.DrawFn) -> list[Source]:
    return [
        Source(
            connection,
            list(range(0, 1000 * draw(st.integers(0, 12)), 1000)),
            most=draw(st.integers(1, 9)),
            least=draw(st.integers(0, 9)),
        )
        for connection in "abcde"[: draw(st.integers(1, 5))]
    ]


SOURCES = st.composite(random_sources)()


@UNHURRIED
@given(SOURCES, st.integers(1, 12))
async def test_pages_concatenate_to_the_whole(sources: list[Source], size: int) -> None:
    pages = await List(sources, size).pages()
    for source in sources:
        given_ = [name for name in names(*pages) if name.startswith(f"connections/{source.connection}/")]
        assert given_ == source.names()
    assert not any(page.unreachable for page in pages)


def own(source: Source, given_: list[str]) -> list[str]:
    return [name for name in given_ if name.startswith(f"connections/{source.connection}/")]


class Failures:
    """What a caller can tell of each connection from the pages, and whether the gateway keeps to it."""

    def __init__(self, sources: list[Source]) -> None:
        self._sources = sources
        self._in_a_row: Counter[str] = Counter()

    def see(self, page: Spread[Destination]) -> None:
        for source in self._sources:
            assert not (source.asked and self.given_up(source)), "asked again"
            if f"connections/{source.connection}" in page.unreachable:
                self._in_a_row[source.connection] += 1
            elif source.asked:
                self._in_a_row[source.connection] = 0
            source.asked.clear()

    def given_up(self, source: Source) -> bool:
        return self._in_a_row[source.connection] == 2


@UNHURRIED
@given(SOURCES, st.integers(1, 12), st.data())
async def test_failures_in_the_middle_skip_and_repeat_nothing(
    sources: list[Source], size: int, data: st.DataObject
) -> None:
    errors = st.sampled_from([None, None, None, Unavailable("down"), Overloaded("full")])
    for source in sources:
        source.error = lambda: data.draw(errors)
    listed, failures = List(sources, size), Failures(sources)
    try:
        page = await listed.page()
    except (Unavailable, Overloaded):
        return  # all of them
    failures.see(page)
    given_ = names(page)
    while listed.request.page_token:
        page = await listed.page()
        failures.see(page)
        given_ += names(page)
    for source in sources:
        whole, part = source.names(), own(source, given_)
        assert part == (whole[: len(part)] if failures.given_up(source) else whole)


@UNHURRIED
@given(SOURCES, st.integers(1, 12), st.data())
async def test_what_exists_throughout_appears_exactly_once(
    sources: list[Source], size: int, data: st.DataObject
) -> None:
    listed = List(sources, size)
    throughout = {name for source in sources for name in source.names()}
    new = st.lists(st.integers(0, 12_000).filter(lambda number: number % 1000), max_size=3)
    given_ = names(await listed.page())
    for _ in range(8):
        for source in sources:
            source.numbers = sorted({*source.numbers, *data.draw(new)})
        if listed.request.page_token:
            given_ += names(await listed.page())
    if listed.request.page_token:
        given_ += names(*await listed.pages())
    assert len(given_) == len(set(given_))
    assert throughout <= set(given_)


async def test_a_page_is_divided_and_the_remainder_goes_in_turns() -> None:
    pages = await List(sources_of(a=9, b=9, c=9), 7).pages()
    assert [parts(page) for page in pages] == [
        {"a": 3, "b": 2, "c": 2},
        {"b": 3, "c": 2, "a": 2},
        {"c": 3, "a": 2, "b": 2},
        {"a": 2, "b": 2, "c": 2},
    ]


async def test_on_a_small_page_connections_wait_for_their_turn() -> None:
    sources = sources_of(a=2, b=2, c=2)
    listed = List(sources, 2)
    assert [parts(page) for page in await listed.pages()] == [{"a": 1, "b": 1}, {"c": 1, "a": 1}, {"b": 1, "c": 1}]
    assert [len(source.asked) for source in sources] == [2, 2, 2]


async def test_who_is_through_leaves_its_share_to_the_others() -> None:
    pages = await List(sources_of(a=1, b=20), 10).pages()
    assert [parts(page) for page in pages] == [{"a": 1, "b": 5}, {"b": 10}, {"b": 5}]


async def test_no_connection_is_an_empty_list() -> None:
    assert await List([], 10).page() == Spread([], "", [])


async def test_a_connection_that_fails_is_unreachable_keeps_its_place_and_is_tried_again() -> None:
    sources = sources_of(a=4, b=4)
    listed = List(sources, 2)
    await listed.page()
    sources[1].error = lambda: Unavailable("down")
    page = await listed.page()
    assert (names(page), page.unreachable) == ([sources[0].name(1)], ["connections/b"])
    sources[1].error = lambda: None
    page = await listed.page()
    assert (names(page), page.unreachable) == ([sources[0].name(2), sources[1].name(1)], [])


async def test_a_connection_is_given_up_after_two_pages_in_a_row() -> None:
    sources = sources_of(a=9, b=9)
    sources[1].error = lambda: Unavailable("down")
    pages = await List(sources, 4).pages()
    assert [page.unreachable for page in pages[:3]] == [["connections/b"], ["connections/b"], []]
    assert len(sources[1].asked) == 2
    assert names(*pages) == sources[0].names()


async def test_a_page_that_goes_well_in_between_starts_the_count_anew() -> None:
    sources = sources_of(a=9, b=9)
    errors = iter([True, False, True, False, True, False, *([False] * 20)])
    sources[1].error = lambda: Unavailable("down") if next(errors) else None
    pages = await List(sources, 4).pages()
    assert own(sources[1], names(*pages)) == sources[1].names()


async def test_waiting_for_a_turn_is_no_failure() -> None:
    sources = sources_of(a=3, b=3, c=3)
    sources[0].error = lambda: Unavailable("down")
    pages = await List(sources, 1).pages()
    assert [page.unreachable for page in pages[:4]] == [["connections/a"], [], [], ["connections/a"]]
    assert len(sources[0].asked) == 2
    assert sorted(names(*pages)) == sources[1].names() + sources[2].names()


async def test_all_failing_on_the_first_page_is_the_first_ones_error() -> None:
    sources = sources_of(a=3, b=3)
    sources[0].error = lambda: Overloaded("full")
    sources[1].error = lambda: Unavailable("down")
    with pytest.raises(Overloaded, match="full"):
        await List(sources, 10).page()


async def test_all_failing_later_ends_in_an_end() -> None:
    sources = sources_of(a=3, b=3)
    listed = List(sources, 2)
    await listed.page()
    sources[0].error = sources[1].error = lambda: Unavailable("down")
    pages = await listed.pages()
    assert pages == [
        Spread([], pages[0].next_page_token, ["connections/a", "connections/b"]),
        Spread([], "", ["connections/a", "connections/b"]),
    ]
    assert pages[0].next_page_token


async def test_what_came_before_a_failure_is_given_and_the_failure_comes_when_it_is_met_again() -> None:
    sources = [Source("a", list(range(6)), most=1), Source("b", list(range(6)))]
    errors = iter([False, False, True, True, False, False, False, False])
    sources[0].error = lambda: Unavailable("down") if next(errors) else None
    listed = List(sources, 8)
    first, second = await listed.page(), await listed.page()
    assert (parts(first), first.unreachable) == ({"a": 2, "b": 4}, [])
    assert (parts(second), second.unreachable) == ({"b": 2}, ["connections/a"])
    assert own(sources[0], names(first, second, *await listed.pages())) == sources[0].names()


async def test_a_connection_that_goes_in_a_circle_does_not_disturb_the_others() -> None:
    following = {"": "1", "1": "2", "2": "1"}

    async def circle(cursor: str, size: int) -> Page[Destination]:
        return Page([Destination(name=f"connections/b/destinations/{cursor or 0}")], following[cursor])

    good = Source("a", list(range(30)))
    pages = await List({"a": good.fetch, "b": circle}, 4).pages()
    assert own(good, names(*pages)) == good.names()
    unreachable = [page for page in pages if page.unreachable == ["connections/b"]]
    assert len(unreachable) == 2
    assert all(set(parts(page)) <= {"a"} for page in unreachable)
    assert names(*pages).count("connections/b/destinations/0") == 1


async def test_an_error_in_the_request_is_an_error_of_the_list() -> None:
    sources = sources_of(a=3, b=3)
    sources[1].error = lambda: InvalidRequest("no such thing")
    with pytest.raises(InvalidRequest, match="no such thing"):
        await List(sources, 10).page()


async def test_a_token_of_one_list_is_none_of_another() -> None:
    listed = List(sources_of(a=3, b=3), 2)
    await listed.page()
    listed.request.filter = "disabled = true"
    with pytest.raises(InvalidRequest) as caught:
        await listed.page()
    assert caught.value.reason == "INVALID_PAGE_TOKEN"


async def test_a_connection_that_is_taken_away_is_through() -> None:
    sources = sources_of(a=4, b=4)
    listed = List(sources, 2)
    await listed.page()
    listed.fetches = {"a": sources[0].fetch, "c": sources[1].fetch}
    assert names(*await listed.pages()) == sources[0].names()[1:]
    assert len(sources[1].asked) == 1


async def test_pages_are_cut_at_three_mebibytes_over_all_connections() -> None:
    sources = [
        Source("a", list(range(4)), display_name="x" * (MAX_PAGE_BYTES * 2 // 3)),
        Source("b", list(range(4)), display_name="x" * (MAX_PAGE_BYTES * 2 // 3)),
        Source("c", list(range(4)), display_name="x" * 1000),
    ]
    pages = await List(sources, 6).pages()
    for source in sources:
        assert own(source, names(*pages)) == source.names()
    assert all(sum(item.ByteSize() for item in page.items) <= MAX_PAGE_BYTES for page in pages)
    assert [parts(page) for page in pages[:3]] == [{"a": 1, "c": 2}, {"b": 1, "c": 2}, {"a": 1}]


async def test_the_room_of_a_page_is_divided_too() -> None:
    sources = [Source(connection, list(range(9)), display_name="x" * 400_000) for connection in "ab"]
    assert parts(await List(sources, 18).page()) == {"a": 3, "b": 3}


async def test_connections_are_asked_at_the_same_time() -> None:
    all_there = asyncio.Barrier(4)

    def meeting(source: Source) -> Fetch[Destination]:
        async def fetch(cursor: str, size: int) -> Page[Destination]:
            await all_there.wait()
            return await source.fetch(cursor, size)

        return fetch

    sources = sources_of(a=1, b=1, c=1, d=1)
    page = await List({source.connection: meeting(source) for source in sources}, 4).page()
    assert len(page.items) == 4


async def test_a_connection_that_hangs_has_its_slice_and_no_more() -> None:
    never = asyncio.Event()
    stopped: list[str] = []

    async def hang(cursor: str, size: int) -> Page[Destination]:
        try:
            await never.wait()
        finally:
            stopped.append(cursor)
        raise AssertionError

    good = Source("a", [1, 2])
    listed = List({"a": good.fetch, "b": hang}, 4)
    listed.slice_s = 0.0
    page = await listed.page()
    assert (names(page), page.unreachable) == (good.names(), ["connections/b"])
    assert stopped == [""]
    alone = List({"b": hang}, 4)
    alone.slice_s = 0.0
    with pytest.raises(TimedOut) as caught:
        await alone.page()
    assert caught.value.reason == "VENDOR_TIMEOUT"
    assert caught.value.connection == "b"


@pytest.mark.parametrize(("deadline_s", "slice_s", "expected_s"), [(None, 8.0, 8.0), (10.0, 8.0, 8.0), (5.0, 8.0, 5.0)])
async def test_vendors_see_the_end_of_their_slice_and_their_calls_are_counted(
    deadline_s: float | None, slice_s: float, expected_s: float
) -> None:
    now_s = asyncio.get_running_loop().time()
    seen: list[float] = []

    async def fetch(cursor: str, size: int) -> Page[Destination]:
        call = calls.current()
        call.vendor_calls += 2
        call.vendor_s += 0.5
        assert call.deadline is not None
        seen.append(call.deadline - now_s)
        return Page([])

    listed = List({"a": fetch, "b": fetch}, 4)
    listed.slice_s = slice_s
    with calls.serving(calls.Call(deadline_s and now_s + deadline_s)) as call:
        await listed.page()
    assert (call.vendor_calls, call.vendor_s) == (4, 1.0)
    assert seen == pytest.approx([expected_s, expected_s], abs=1.0)


async def test_a_caller_that_leaves_leaves_nothing_running() -> None:
    started, never = asyncio.Event(), asyncio.Event()
    stopped: list[str] = []

    async def hang(cursor: str, size: int) -> Page[Destination]:
        started.set()
        try:
            await never.wait()
        finally:
            stopped.append(cursor)
        raise AssertionError

    task = asyncio.create_task(List({"a": hang, "b": hang}, 4).page())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stopped == ["", ""]
