"""A vendor that fails again and again is left alone for a while, and one call finds out whether it is back."""

import asyncio
import contextlib
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import calls
from adapters.breaker import Breaker
from adapters.calls import Call
from adapters.errors import (
    CircuitOpen,
    Fault,
    OutcomeUnknown,
    Overloaded,
    RateLimited,
    TimedOut,
    Unavailable,
    VendorError,
)
from adapters.http import UPLOAD_BYTES
from adapters.policy import Policy
from adapters.retry import Retry
from adapters.transport import Timeouts
from tests.adapters.conftest import NOW_S, Dial, Serve
from tests.adapters.loopback import Gate, Handler, Line, answer, answers, drop, half, in_turn, send, settle, silence

ONE_TRY = Policy(attempts=1, breaker_failures=1)


class Time:
    """A clock that only moves when told."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def time() -> Time:
    return Time()


def breaker(time: Time, policy: Policy | None = None) -> Breaker:
    return Breaker("main", policy or Policy(), attempt_s=10.0, clock=time, now=lambda: NOW_S + time.s)


def note(of: Breaker, *outcomes: bool | None) -> None:
    for succeeded in outcomes:
        of.note(succeeded=succeeded, probe=False)


def refusal_s(of: Breaker) -> float | None:
    """Return the wait that a call is told; None where it is let through."""
    try:
        of.refuse()
    except CircuitOpen as error:
        return error.retry_after_s
    return None


def tripped(time: Time) -> Breaker:
    one = breaker(time)
    note(one, *[False] * 5)
    assert one.open
    return one


# --- When it opens -------------------------------------------------------------------------------------------------


def test_the_fifth_failure_in_a_row_opens_it(time: Time) -> None:
    one = breaker(time)
    note(one, False, False, False, False, True, False, False, False, False)
    assert not one.open
    note(one, False)
    assert one.since_s == NOW_S + time.s
    assert one.open


def test_failures_in_a_row_count_however_far_apart(time: Time) -> None:
    one = breaker(time)
    for _ in range(4):
        note(one, False)
        time.s += 3600
    note(one, False)
    assert one.open


def test_what_nobody_can_tell_counts_for_nothing(time: Time) -> None:
    one = breaker(time)
    note(one, *[False, None] * 4, *[None] * 50)
    assert not one.open


def test_half_of_twenty_attempts_within_ten_seconds_open_it(time: Time) -> None:
    one = breaker(time)
    for _ in range(9):
        note(one, True, False)
        time.s += 1.0
    note(one, True)
    assert not one.open
    note(one, False)
    assert one.open


def test_half_of_too_few_attempts_do_not(time: Time) -> None:
    one = breaker(time)
    note(one, *[True, False] * 9, False)
    assert not one.open


def test_less_than_half_do_not(time: Time) -> None:
    one = breaker(time)
    note(one, *[True, True, False] * 100)
    assert not one.open


def test_what_is_longer_ago_than_the_window_counts_no_more(time: Time) -> None:
    one = breaker(time)
    note(one, *[True, False] * 9)
    time.s += 12.0
    note(one, True, False)
    assert not one.open
    note(one, *[True, False] * 9)
    assert one.open


def test_successes_within_the_window_count_though_they_came_before_any_failure(time: Time) -> None:
    one = breaker(time)
    for _ in range(8):
        note(one, *[True] * 10)
        time.s += 1.0
    note(one, *[True, False] * 20)
    assert not one.open


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3))))
def test_it_opens_when_the_rule_says_so_give_or_take_a_slice(steps: list[tuple[bool, float]]) -> None:
    time = Time()
    one = breaker(time)
    past: list[tuple[float, bool]] = []
    for succeeded, pause_s in steps:
        time.s += pause_s
        past.append((time.s, succeeded))
        note(one, succeeded)
        in_a_row = len(past) >= 5 and not any(ok for _, ok in past[-5:])
        rules = []
        for window_s in (9.0, 10.0, 11.0):
            lately = [ok for moment, ok in past if moment > time.s - window_s]
            rules.append(not succeeded and (in_a_row or (len(lately) >= 20 and lately.count(False) * 2 >= len(lately))))
        if all(rules):
            assert one.open
        if one.open:
            assert any(rules)
            return


# --- What it does then ---------------------------------------------------------------------------------------------


def test_a_call_is_told_how_long_until_the_next_one_is_let_through(time: Time) -> None:
    one = tripped(time)
    assert refusal_s(one) == 5.0
    time.s += 4.0
    assert refusal_s(one) == 1.0
    time.s += 1.0
    assert refusal_s(one) is None


def test_one_call_alone_is_let_through_and_its_success_closes_it(time: Time) -> None:
    one = tripped(time)
    time.s += 5.0
    assert one.probe()
    assert refusal_s(one) == 1.0
    with pytest.raises(CircuitOpen):
        one.probe()
    one.note(succeeded=True, probe=True)
    assert not one.open
    assert one.since_s == NOW_S + time.s
    assert not one.probe()
    note(one, *[False] * 4)
    assert not one.open


def test_calls_before_it_opens_are_not_waited_for(time: Time) -> None:
    one = breaker(time)
    assert not one.probe()
    note(one, *[False] * 5)
    assert refusal_s(one) == 5.0
    time.s += 5.0
    assert one.probe()


def test_each_failure_of_the_one_doubles_the_time_up_to_a_minute(time: Time) -> None:
    one = tripped(time)
    since_s = one.since_s
    waits_s = [refusal_s(one)]
    for _ in range(6):
        time.s += waits_s[-1] or 0.0
        assert one.probe()
        one.note(succeeded=False, probe=True)
        waits_s.append(refusal_s(one))
    assert waits_s == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0]
    assert one.since_s == since_s
    time.s += 60.0
    assert one.probe()
    one.note(succeeded=True, probe=True)
    note(one, *[False] * 5)
    assert refusal_s(one) == 5.0


def test_the_one_that_comes_to_nothing_leaves_the_next_its_chance(time: Time) -> None:
    one = tripped(time)
    time.s += 5.0
    assert one.probe()
    one.note(succeeded=None, probe=True)
    assert one.open
    assert one.probe()


def test_the_one_that_takes_longer_than_an_attempt_leaves_another_its_chance(time: Time) -> None:
    one = tripped(time)
    time.s += 5.0
    assert one.probe()
    time.s += 9.9
    assert refusal_s(one) == 1.0
    time.s += 0.1
    assert one.probe()
    assert refusal_s(one) == 1.0
    one.note(succeeded=True, probe=True)
    assert not one.open
    # What the slow one comes to then is an attempt like any other's.
    one.note(succeeded=False, probe=True)
    note(one, *[False] * 3)
    assert not one.open
    note(one, False)
    assert refusal_s(one) == 5.0


def test_calls_that_were_under_way_already_change_nothing(time: Time) -> None:
    one = tripped(time)
    note(one, True, False, None)
    assert refusal_s(one) == 5.0


def test_opening_and_closing_are_logged_once_each(time: Time, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    one = tripped(time)
    note(one, False, False)
    for succeeded in (False, True):
        time.s += 60.0
        one.probe()
        one.note(succeeded=succeeded, probe=True)
    note(one, True)
    assert caplog.messages == [
        "connection main is suspended: 5 of 5 attempts failed",
        "connection main is no longer suspended",
    ]


# --- Which endings of an attempt speak against a vendor ------------------------------------------------------------


async def blamed(
    line: Line, retry: Retry = Retry.READ, *, deadline_s: float | None = None, body: bytes | None = None
) -> bool:
    """Return whether one attempt opens a breaker that opens by the first failure."""
    deadline = None if deadline_s is None else asyncio.get_running_loop().time() + deadline_s
    more = {} if body is None else {"body": body}
    with calls.serving(Call(deadline)), contextlib.suppress(VendorError):
        await send(line.http, retry, **more)
    return line.transport.breaker.open


@pytest.mark.parametrize("retry", Retry)
@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 403, 404, 408, 409, 412, 413, 422, 425, 429, 501])
async def test_an_answer_that_says_what_is_the_matter_is_none(
    serve: Serve, dial: Dial, status: int, retry: Retry
) -> None:
    assert not await blamed(dial((await serve(answers(answer(status=status)))).url, policy=ONE_TRY), retry)


@pytest.mark.parametrize("retry", Retry)
@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
async def test_a_failure_of_the_server_is_one(serve: Serve, dial: Dial, status: int, retry: Retry) -> None:
    assert await blamed(dial((await serve(answers(answer(status=status)))).url, policy=ONE_TRY), retry)


async def test_a_failure_whose_body_says_what_is_the_matter_is_none(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer({"retry_after_s": 1}, status=500)))

    def throttled(status: int, headers: object, body: bytes) -> Fault:
        return Fault(kind=RateLimited)

    assert not await blamed(dial(vendor.url, policy=ONE_TRY, read_fault=throttled))


@pytest.mark.parametrize("retry", Retry)
@pytest.mark.parametrize("handler", [drop, half()], ids=["before", "within"])
async def test_a_connection_that_breaks_is_one(serve: Serve, dial: Dial, handler: Handler, retry: Retry) -> None:
    assert await blamed(dial((await serve(handler)).url, policy=ONE_TRY), retry)


@pytest.mark.parametrize("retry", Retry)
async def test_a_port_that_nobody_listens_on_is_one(dial: Dial, closed: int, retry: Retry) -> None:
    assert await blamed(dial(f"http://127.0.0.1:{closed}", policy=ONE_TRY), retry)


@pytest.mark.parametrize("retry", Retry)
async def test_a_connection_that_is_not_made_in_time_is_one(dial: Dial, mute: int, retry: Retry) -> None:
    line = dial(f"https://127.0.0.1:{mute}", policy=ONE_TRY, timeouts=Timeouts(connect_s=0.02))
    assert await blamed(line, retry, deadline_s=5.0)


@pytest.mark.parametrize("retry", Retry)
@pytest.mark.parametrize("timeouts", [Timeouts(attempt_s=0.05, operation_s=0.3), Timeouts(operation_s=0.05)], ids=str)
async def test_no_answer_in_an_attempts_time_is_one(serve: Serve, dial: Dial, timeouts: Timeouts, retry: Retry) -> None:
    assert await blamed(dial((await serve(silence)).url, policy=ONE_TRY, timeouts=timeouts), retry, deadline_s=5.0)


@pytest.mark.parametrize("retry", Retry)
async def test_no_answer_in_the_little_time_that_its_caller_had_is_none(serve: Serve, dial: Dial, retry: Retry) -> None:
    line = dial((await serve(silence)).url, policy=ONE_TRY)
    assert not await blamed(line, retry, deadline_s=0.1)
    assert not await blamed(line, retry, deadline_s=-1.0)


async def test_no_connection_in_the_little_time_that_its_caller_had_is_none(dial: Dial, mute: int) -> None:
    assert not await blamed(dial(f"https://127.0.0.1:{mute}", policy=ONE_TRY), deadline_s=0.1)


async def test_an_upload_that_its_caller_had_no_time_for_is_none(serve: Serve, dial: Dial) -> None:
    line = dial((await serve(silence)).url, policy=ONE_TRY, timeouts=Timeouts(attempt_s=0.05))
    assert not await blamed(line, Retry.IDEMPOTENT, deadline_s=0.2, body=b"z" * (UPLOAD_BYTES + 1))


async def test_an_upload_that_is_not_taken_is_one(serve: Serve, dial: Dial) -> None:
    line = dial((await serve(silence)).url, policy=ONE_TRY, timeouts=Timeouts(idle_s=0.05))
    assert await blamed(line, Retry.IDEMPOTENT, deadline_s=5.0, body=b"z" * (UPLOAD_BYTES + 1))


async def test_a_download_that_does_not_begin_is_one(serve: Serve, dial: Dial) -> None:
    line = dial((await serve(silence)).url, policy=ONE_TRY, timeouts=Timeouts(operation_s=0.05))
    with pytest.raises(TimedOut):
        async with line.http.stream("x"):
            raise AssertionError
    assert line.transport.breaker.open


async def test_a_caller_that_leaves_is_none(serve: Serve, dial: Dial) -> None:
    gate = Gate()
    line = dial((await serve(gate)).url, policy=ONE_TRY)
    leaving = asyncio.ensure_future(send(line.http, Retry.READ))
    await gate.holds(1)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert not line.transport.breaker.open


async def test_the_gateways_own_queue_is_none(serve: Serve, dial: Dial) -> None:
    line = dial((await serve(silence)).url, policy=Policy(breaker_failures=1, queue=0))
    line.transport.places.free = 0
    with pytest.raises(Overloaded):
        await send(line.http, Retry.READ)
    assert not line.transport.breaker.open


# --- Calls of a suspended connection -------------------------------------------------------------------------------


@pytest.mark.parametrize("retry", Retry)
async def test_while_it_is_open_nothing_is_sent_and_everybody_hears_so_at_once(
    serve: Serve, dial: Dial, time: Time, retry: Retry
) -> None:
    vendor = await serve(answers(answer(status=500)))
    line = dial(vendor.url, policy=ONE_TRY, clock=time)
    assert await blamed(line)
    time.s += 3.0
    with calls.serving(Call()) as call, pytest.raises(CircuitOpen) as caught:
        await send(line.http, retry)
    assert (caught.value.reason, caught.value.retry_after_s) == ("VENDOR_CIRCUIT_OPEN", 2.0)
    assert (caught.value.vendor, caught.value.connection) == ("acme", "main")
    with pytest.raises(CircuitOpen):
        async with line.http.stream("x"):
            raise AssertionError
    assert (call.vendor_calls, call.written, len(vendor.received), line.slept) == (0, False, 1, [])
    assert (line.transport.places.free, line.transport.downloads.free) == (16, 8)


async def test_a_call_whose_own_attempt_opens_it_tells_what_became_of_that(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer(status=500)))
    line = dial(vendor.url, policy=Policy(breaker_failures=2))
    with pytest.raises(Unavailable) as caught:
        await send(line.http, Retry.READ)
    assert caught.value.fault.http_status == 500
    assert len(vendor.received) == 2
    # Nobody waits for an attempt that would not be sent.
    assert line.slept == [0.05]


async def test_a_call_between_two_attempts_tells_what_became_of_the_first_one(serve: Serve, dial: Dial) -> None:
    async def others_fail(_: float) -> None:
        note(line.transport.breaker, *[False] * 5)

    line = dial((await serve(answers(answer(status=500)))).url, sleep=others_fail)
    with calls.serving(Call()) as call, pytest.raises(Unavailable) as caught:
        await send(line.http, Retry.READ)
    assert caught.value.fault.http_status == 500
    assert call.vendor_calls == 1


async def test_one_of_many_calls_finds_out_that_the_vendor_is_back(serve: Serve, dial: Dial, time: Time) -> None:
    gate = Gate()
    vendor = await serve(in_turn(answers(answer(status=500)), gate))
    line = dial(vendor.url, policy=ONE_TRY, clock=time)
    assert await blamed(line)
    time.s += 5.0
    first = asyncio.ensure_future(line.http.send("GET", "first", retry=Retry.READ))
    await gate.holds(1)
    for retry in Retry:
        with pytest.raises(CircuitOpen) as caught:
            await send(line.http, retry)
        assert caught.value.retry_after_s == 1.0
    gate.open()
    await first
    assert not line.transport.breaker.open
    assert (await send(line.http, Retry.READ)).status == 200


async def test_the_one_call_that_leaves_lets_another_find_out(serve: Serve, dial: Dial, time: Time) -> None:
    gate = Gate()
    vendor = await serve(in_turn(answers(answer(status=500)), gate))
    line = dial(vendor.url, policy=ONE_TRY, clock=time)
    assert await blamed(line)
    time.s += 5.0
    first = asyncio.ensure_future(send(line.http, Retry.ONCE))
    await gate.holds(1)
    first.cancel()
    await asyncio.wait([first])
    gate.open()
    assert (await send(line.http, Retry.READ)).status == 200
    assert not line.transport.breaker.open


async def test_an_upload_that_takes_hours_does_not_keep_others_from_finding_out(
    serve: Serve, dial: Dial, time: Time
) -> None:
    gate = Gate()
    vendor = await serve(in_turn(answers(answer(status=500)), gate, answers(answer({}))))
    line = dial(vendor.url, policy=ONE_TRY, clock=time)
    assert await blamed(line)
    time.s += 5.0
    upload = asyncio.ensure_future(send(line.http, Retry.ONCE, body=b"z" * (UPLOAD_BYTES + 1)))
    await gate.holds(1)
    time.s += line.transport.timeouts.attempt_s
    assert (await send(line.http, Retry.READ)).status == 200
    assert not line.transport.breaker.open
    gate.open()
    assert (await upload).status == 200


async def test_a_call_that_waited_for_a_place_is_not_sent_once_it_is_open(serve: Serve, dial: Dial, time: Time) -> None:
    gate = Gate()
    vendor = await serve(in_turn(gate, answers(answer({}))))
    line = dial(vendor.url, policy=Policy(concurrency=1, breaker_failures=1), clock=time)
    first = asyncio.ensure_future(send(line.http, Retry.ONCE))
    await gate.holds(1)
    second = asyncio.ensure_future(send(line.http, Retry.READ))
    await settle()
    note(line.transport.breaker, False)
    gate.open()
    await first
    with pytest.raises(CircuitOpen):
        await second
    assert line.transport.places.free == 1
    assert len(vendor.received) == 1


async def test_the_outcome_of_a_start_that_was_sent_stays_unknown(serve: Serve, dial: Dial) -> None:
    line = dial((await serve(answers(answer(status=500)))).url, policy=ONE_TRY)
    with pytest.raises(OutcomeUnknown):
        await send(line.http, Retry.ONCE)
    assert line.transport.breaker.open
