"""What a call carries: its deadline and its cost, each call its own."""

import asyncio
from contextvars import Context
from types import SimpleNamespace

import pytest

from adapters import calls
from adapters.calls import Call


@pytest.mark.parametrize(
    ("call", "ends_at"),
    [
        (Call(), None),
        (Call(deadline=7.0), 7.0),
        (Call(deadline=7.0, write_deadline=9.0), 7.0),
        (Call(deadline=7.0, write_deadline=9.0, written=True), 9.0),
        (Call(deadline=7.0, written=True), 7.0),
        (Call(written=True), None),
    ],
    ids=repr,
)
def test_the_deadline_that_counts_is_the_writes_from_the_first_write_on(call: Call, ends_at: float | None) -> None:
    assert call.ends_at() == ends_at


def test_serving_makes_a_call_the_current_one_until_its_end() -> None:
    before = calls.current()
    outer, inner = Call(), Call()
    with calls.serving(outer) as served:
        assert served is outer
        with calls.serving(inner):
            assert calls.current() is inner
        assert calls.current() is outer
    assert calls.current() is before


async def test_work_that_no_call_asked_for_has_a_call_of_its_own() -> None:
    async def who() -> Call:
        assert calls.current() is calls.current()
        return calls.current()

    with calls.serving(Call(deadline=1.0)) as served:
        child = asyncio.create_task(who())
        stranger = asyncio.create_task(who(), context=Context())
        assert await child is served
        assert (await stranger).deadline is None


def test_waits_at_the_same_time_count_once_in_the_call_and_in_the_one_that_it_is_a_part_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(calls, "time", SimpleNamespace(perf_counter=lambda: now))
    outer = Call()
    parts = [Call(outer=outer) for _ in range(2)]
    seen: list[list[float]] = []
    for one, step in ((0, "leave"), (0, "leave"), (1, "leave"), (0, "back"), (0, "back"), (1, "back"), (1, "leave")):
        getattr(parts[one], step)()
        now += 1.0
        seen.append([call.away_s for call in (outer, *parts)])
    assert seen == [
        *([1.0, 1.0, 0.0], [2.0, 2.0, 0.0], [3.0, 3.0, 1.0], [4.0, 4.0, 2.0]),
        *([5.0, 4.0, 3.0], [5.0, 4.0, 3.0], [6.0, 4.0, 4.0]),
    ]
