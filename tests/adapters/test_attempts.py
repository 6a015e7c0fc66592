"""How often a call is sent, after how long, and within which time."""

import asyncio
import math
import selectors
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web

from adapters import calls, errors
from adapters.auth import FixedAuth
from adapters.calls import Call
from adapters.errors import Fault, RateLimited, TimedOut, Unavailable, VendorError
from adapters.http import Http
from adapters.policy import Policy
from adapters.retry import Retry
from adapters.transport import Timeouts, Transport
from tests.adapters.conftest import NOW_S, Dial, Serve
from tests.adapters.loopback import answer, answers, read_fault, send, silence

# --- How often, and after how long ---------------------------------------------------------------------------------


async def test_three_attempts_wait_twice_as_long_each_time(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer(status=503)))
    line = dial(vendor.url, jitter=lambda: 1.0)
    with calls.serving(Call()) as call, pytest.raises(Unavailable):
        await send(line.http, Retry.READ)
    assert len(vendor.received) == call.vendor_calls == 3
    assert line.slept == [0.1, 0.2]
    assert call.vendor_s > 0


@pytest.mark.parametrize("retry", Retry)
@pytest.mark.parametrize(
    ("text", "asked_s"),
    [("7", 7.0), (formatdate(NOW_S + 9, usegmt=True), 9.0), ("soon", 0.0), ("-3", 0.0), ("1e999", 0.0)],
)
async def test_the_vendors_wait_is_kept_and_rubbish_is_none(
    serve: Serve, dial: Dial, text: str, asked_s: float, retry: Retry
) -> None:
    throttled = answer(status=429, headers={"Retry-After": text})
    vendor = await serve(answers(throttled, throttled, answer({})))
    line = dial(vendor.url)
    await send(line.http, retry)
    assert line.slept == [asked_s + 0.5, asked_s + 1.0]


async def test_a_wait_beyond_the_deadline_is_an_error_at_once_that_says_how_long(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer(status=429, headers={"Retry-After": "31"})))
    line = dial(vendor.url)
    with pytest.raises(RateLimited) as caught:
        await send(line.http, Retry.READ)
    assert caught.value.retry_after_s == 31.0
    assert line.slept == []
    assert len(vendor.received) == 1


async def test_a_wait_beyond_the_callers_deadline_is_an_error_at_once(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer(status=503, headers={"Retry-After": "2"})))
    line = dial(vendor.url)
    with calls.serving(Call(asyncio.get_running_loop().time() + 2.0)), pytest.raises(Unavailable) as caught:
        await send(line.http, Retry.READ)
    assert caught.value.retry_after_s == 2.0
    assert line.slept == []


@pytest.mark.parametrize(
    ("text", "told_s"),
    [("3601", 3600.0), ("9999999999", 3600.0), (formatdate(NOW_S + 1e6, usegmt=True), 3600.0), ("3599.5", 3599.5)],
)
async def test_a_wait_of_more_than_an_hour_is_passed_on_as_an_hour(
    serve: Serve, dial: Dial, text: str, told_s: float
) -> None:
    line = dial((await serve(answers(answer(status=429, headers={"Retry-After": text})))).url)
    with pytest.raises(RateLimited) as caught:
        await send(line.http, Retry.READ)
    assert caught.value.retry_after_s == told_s


@pytest.mark.parametrize(
    ("asked_s", "told_s"), [(math.inf, 3600.0), (math.nan, None), (-5.0, 0.0), (7200.0, 3600.0), (31.0, 31.0)], ids=str
)
async def test_a_wait_in_the_body_is_believed_no_further(
    serve: Serve, dial: Dial, asked_s: float, told_s: float | None
) -> None:
    def asks(status: int, headers: object, body: bytes) -> Fault:
        return Fault(retry_after_s=asked_s)

    vendor = await serve(answers(answer(status=429)))
    line = dial(vendor.url, read_fault=asks, policy=Policy(attempts=1))
    with pytest.raises(RateLimited) as caught:
        await send(line.http, Retry.READ)
    assert caught.value.retry_after_s == caught.value.fault.retry_after_s == told_s


# --- The budget ----------------------------------------------------------------------------------------------------


async def test_a_vendor_that_fails_for_long_is_asked_little_more_often_than_it_is_called(
    serve: Serve, dial: Dial
) -> None:
    vendor = await serve(answers(answer(status=503)))
    line = dial(vendor.url, policy=Policy(breaker_failures=1000, breaker_calls=1000))
    for _ in range(100):
        with pytest.raises(Unavailable):
            await send(line.http, Retry.READ)
    # Ten more attempts, then none.
    assert len(vendor.received) == 110
    assert len(line.slept) == 10


async def test_calls_that_succeed_earn_attempts_for_those_that_fail(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(*[answer({})] * 9, answer(status=503), answer({})))
    line = dial(vendor.url)
    line.transport.budget.tokens = 0.15
    for _ in range(9):
        await send(line.http, Retry.READ)
    assert (await send(line.http, Retry.READ)).status == 200
    assert len(vendor.received) == 11
    assert line.transport.budget.tokens == pytest.approx(0.15)


async def test_renewed_credentials_cost_nothing_of_the_budget(serve: Serve, dial: Dial) -> None:
    class Renewing(FixedAuth):
        async def renew(self, refused: Mapping[str, str]) -> bool:
            return True

    line = dial((await serve(answers(answer(status=401), answer({})))).url, auth=Renewing({}))
    line.transport.budget.tokens = 0.0
    assert (await send(line.http, Retry.READ)).status == 200


# --- Deadlines -----------------------------------------------------------------------------------------------------


async def test_a_call_without_time_left_is_not_sent(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer()))
    line = dial(vendor.url)
    for retry in Retry:
        with calls.serving(Call(asyncio.get_running_loop().time() + 0.04)) as call, pytest.raises(TimedOut):
            await send(line.http, retry)
        assert call.vendor_calls == 0
    assert vendor.connections == 0


@pytest.mark.parametrize(("retry", "kind"), [(Retry.READ, TimedOut), (Retry.ONCE, errors.OutcomeUnknown)])
async def test_the_caller_hears_the_reason_before_its_own_clock_strikes(
    serve: Serve, dial: Dial, retry: Retry, kind: type[VendorError]
) -> None:
    vendor = await serve(silence)
    clock = asyncio.get_running_loop().time
    left_s: list[float] = []
    for _ in range(3):
        deadline = clock() + 0.1
        with calls.serving(Call(deadline)), pytest.raises(kind):
            await send(dial(vendor.url).http, retry)
        left_s.append(deadline - clock())
    # A busy machine may be late once, not always.
    assert 0 < max(left_s) <= 0.05


async def test_a_write_goes_on_to_its_own_deadline(serve: Serve, dial: Dial) -> None:
    vendor = await serve(silence)
    clock = asyncio.get_running_loop().time
    begun = clock()
    with calls.serving(Call(begun + 0.01, write_deadline=begun + 0.2)) as call:
        with pytest.raises(TimedOut):
            await send(dial(vendor.url).http, Retry.READ)
        written = [call.written]
        with pytest.raises(errors.OutcomeUnknown):
            await send(dial(vendor.url).http, Retry.ONCE)
        assert [*written, call.written] == [False, True]
    assert clock() - begun >= 0.15
    assert len(vendor.received) == 1


@pytest.mark.parametrize("retry", [Retry.IDEMPOTENT, Retry.ONCE])
async def test_a_write_is_announced_once_before_its_first_byte(serve: Serve, dial: Dial, retry: Retry) -> None:
    vendor = await serve(answers(answer({})))
    line = dial(vendor.url)
    seen: list[tuple[int, bool]] = []

    async def announce() -> None:
        seen.append((len(vendor.received), call.written))

    with calls.serving(Call(before_write=announce)) as call:
        for one in (Retry.READ, retry, retry):
            await send(line.http, one)
    assert seen == [(1, False)]
    assert call.accepted is (retry is Retry.ONCE)


async def test_a_write_that_can_not_be_announced_is_not_sent(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer({})))

    async def announce() -> None:
        raise errors.StoreUnavailable("no room")

    with calls.serving(Call(before_write=announce)) as call, pytest.raises(errors.StoreUnavailable):
        await send(dial(vendor.url).http, Retry.ONCE)
    assert not vendor.received
    assert not call.written


async def test_a_write_that_the_vendor_refused_is_not_accepted(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer(status=400)))
    with calls.serving(Call()) as call, pytest.raises(VendorError):
        await send(dial(vendor.url).http, Retry.ONCE)
    assert not call.accepted


async def test_attempts_share_one_deadline(serve: Serve, dial: Dial) -> None:
    vendor = await serve(silence)
    clock = asyncio.get_running_loop().time
    begun = clock()
    line = dial(vendor.url, timeouts=Timeouts(operation_s=0.5, attempt_s=0.4), jitter=lambda: 0.0)
    with pytest.raises(TimedOut):
        await send(line.http, Retry.READ)
    # The second attempt gets the quarter of its time that is left, the third one nothing.
    assert len(vendor.received) == 2
    assert 0.5 <= clock() - begun < 0.8


async def test_a_write_that_must_not_be_sent_twice_gets_all_the_time_there_is(serve: Serve, dial: Dial) -> None:
    async def late(request: web.BaseRequest) -> web.StreamResponse:
        ready = asyncio.Event()
        asyncio.get_running_loop().call_later(0.1, ready.set)
        await ready.wait()
        return web.json_response({})

    vendor = await serve(late)
    line = dial(vendor.url, timeouts=Timeouts(attempt_s=0.03))
    assert (await send(line.http, Retry.ONCE)).status == 200


class HastyLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock runs a hundred times as fast as the world's."""

    SPEED = 100.0

    def __init__(self) -> None:
        class Selector(selectors.DefaultSelector):
            def select(self, timeout: float | None = None) -> Any:
                return super().select(None if timeout is None else timeout / HastyLoop.SPEED)

        super().__init__(Selector())

    def time(self) -> float:
        return super().time() * self.SPEED


def test_no_timeout_is_rounded_up_past_the_deadline(mute: int) -> None:
    # aiohttp rounds what is above 5 s up to whole seconds: up to one too late.
    async def late_s() -> float:
        transport = Transport("acme", "main", timeouts=Timeouts(attempt_s=100.0))
        http = Http(transport, f"http://127.0.0.1:{mute}", auth=FixedAuth({}), read_fault=read_fault)
        clock = asyncio.get_running_loop().time
        deadline = math.floor(clock()) + 20.25
        with calls.serving(Call(deadline)), pytest.raises(TimedOut):
            await send(http, Retry.READ)
        ended = clock()
        await transport.close()
        return ended - (deadline - 0.05)

    with asyncio.Runner(loop_factory=HastyLoop) as runner:
        # Half a second of that loop is 5 ms.
        assert 0 <= min(runner.run(late_s()) for _ in range(3)) < 0.5


async def test_a_caller_that_leaves_closes_the_vendors_connection_and_nothing_goes_on(serve: Serve, dial: Dial) -> None:
    begun = asyncio.Event()

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"id"')
        begun.set()
        await asyncio.Event().wait()
        return response

    vendor = await serve(endless)
    line = dial(vendor.url)
    for retry in Retry:
        reading = asyncio.create_task(send(line.http, retry))
        await begun.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        async with asyncio.timeout(5):
            await vendor.handler_gone.wait()
        begun.clear()
        vendor.handler_gone.clear()
    assert len(vendor.received) == 3
    assert line.slept == []


async def test_a_timeout_of_the_callers_own_is_no_error_of_the_vendor(serve: Serve, dial: Dial) -> None:
    vendor = await serve(silence)
    line = dial(vendor.url)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await send(line.http, Retry.READ)
    assert len(vendor.received) == 1
