"""A pace: no more calls within any period than it allows, and a wait for those that come too early."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import RateLimited, Unavailable
from adapters.limits import Pace
from adapters.retry import Retry
from tests.adapters.conftest import Dial, Serve
from tests.adapters.loopback import answer, answers

CALLS, PERIODS_S, GAPS_S = st.integers(1, 6), st.integers(1, 90), st.lists(st.integers(0, 40), max_size=60)


@given(CALLS, PERIODS_S, GAPS_S)
def test_no_period_has_more_calls_than_the_pace_allows(calls: int, period_s: int, gaps_s: list[int]) -> None:
    now, taken = 1000, list[int]()
    pace = Pace(calls, period_s, clock=lambda: now)
    for gap_s in gaps_s:
        now += gap_s
        with suppress(RateLimited):
            pace.take()
            taken.append(now)
    assert all(last - first >= period_s for first, last in zip(taken, taken[calls:], strict=False))


@given(CALLS, PERIODS_S, GAPS_S)
def test_there_is_a_turn_after_the_wait_that_was_named_and_not_before(
    calls: int, period_s: int, gaps_s: list[int]
) -> None:
    now = 1000
    pace = Pace(calls, period_s, clock=lambda: now)
    for gap_s in gaps_s:
        now += gap_s
        wait_s = refused(pace)
        if wait_s:
            now += wait_s - 1
            assert refused(pace) == 1
            now += 1
            assert refused(pace) == 0


def refused(pace: Pace) -> int:
    """Take a turn, and return the wait that is named where there is none."""
    try:
        pace.take()
    except RateLimited as error:
        return int(error.retry_after_s or 0)
    return 0


async def test_a_call_without_a_turn_waits_for_it_and_is_counted_when_it_is_sent(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer({})))
    now = 0.0
    slept: list[float] = []

    async def sleep(delay_s: float) -> None:
        nonlocal now
        slept.append(delay_s)
        now += delay_s

    http = dial(vendor.url, sleep=sleep, jitter=lambda: 0.0).http
    pace = Pace(2, 20.0, clock=lambda: now)
    for _ in range(3):
        await http.send("POST", "/x", retry=Retry.ONCE, pace=pace)
    assert slept == [20.0]
    assert len(vendor.received) == 3


async def test_a_wait_longer_than_the_call_may_take_is_the_callers(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer({})))
    line = dial(vendor.url)
    pace = Pace(1, 60.0, clock=lambda: 0.0)
    await line.http.send("POST", "/x", retry=Retry.ONCE, pace=pace)
    with pytest.raises(RateLimited) as limited:
        await line.http.send("POST", "/x", retry=Retry.ONCE, pace=pace)
    assert (limited.value.reason, limited.value.retry_after_s) == ("GATEWAY_RATE_LIMITED", 60.0)
    assert (limited.value.vendor, limited.value.connection) == ("acme", "main")
    assert line.slept == []
    assert len(vendor.received) == 1


async def test_every_attempt_takes_a_turn(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer(status=503), answer({})))
    line = dial(vendor.url)
    pace = Pace(2, 60.0, clock=lambda: 0.0)
    await line.http.send("DELETE", "/x", retry=Retry.IDEMPOTENT, pace=pace)
    with pytest.raises(RateLimited):
        pace.take()


async def test_a_call_without_a_pace_is_not_counted(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer(status=503)))
    with pytest.raises(Unavailable):
        await dial(vendor.url).http.send("DELETE", "/x", retry=Retry.IDEMPOTENT)
    assert len(vendor.received) == 3
