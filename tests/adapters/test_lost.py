"""Looking for what a lost write made: far enough back, and not further."""

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import Page
from adapters.lost import EARLIER_S, LOOK_BACK_S, is_since, newest

SENT_AT_S = 1_767_225_600.0


async def walk(pages: list[list[float | None]]) -> tuple[list[float | None], int]:
    """Return what is found in *pages*, given by times before the write, and how many of them were read."""
    read: list[str] = []

    async def fetch(cursor: str) -> Page[float | None]:
        read.append(cursor)
        return Page(pages[int(cursor or 0)], str(len(read)) if len(read) < len(pages) else "")

    def when(age_s: float | None) -> Timestamp | None:
        return None if age_s is None else Timestamp(seconds=int(SENT_AT_S - age_s))

    return await newest(fetch, when, SENT_AT_S), len(read)


@given(st.lists(st.lists(st.none() | st.integers(-100_000, 10_000_000), max_size=3), min_size=1, max_size=6))
async def test_all_that_is_not_older_than_any_zone_explains_is_found(pages: list[list[float | None]]) -> None:
    ages = sorted((age for page in pages for age in page if age is not None), reverse=True)
    ordered: list[list[float | None]] = [[None if age is None else ages.pop() for age in page] for page in pages]
    found, _ = await walk(ordered)
    young = [age for page in ordered for age in page if age is not None and age <= LOOK_BACK_S]

    assert [age for age in found if age is not None and age <= LOOK_BACK_S] == young


async def test_a_page_of_what_is_older_is_the_last() -> None:
    assert await walk([[0.0], [LOOK_BACK_S], [LOOK_BACK_S + 1], [LOOK_BACK_S + 2]]) == (
        [0.0, LOOK_BACK_S, LOOK_BACK_S + 1],
        3,
    )


async def test_without_times_a_list_is_read_to_its_end() -> None:
    assert await walk([[None], [], [None]]) == ([None, None], 3)


def test_what_was_made_a_little_before_the_write_by_another_clock_may_be_of_it() -> None:
    assert is_since(Timestamp(seconds=int(SENT_AT_S - EARLIER_S)), SENT_AT_S)
    assert is_since(Timestamp(seconds=int(SENT_AT_S + LOOK_BACK_S)), SENT_AT_S)
    assert not is_since(Timestamp(seconds=int(SENT_AT_S - EARLIER_S - 1)), SENT_AT_S)
