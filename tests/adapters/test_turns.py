"""Turns as calls take them: a wait for one that fits is waited, one that does not is the caller's, and 429 is heard."""

import asyncio
import time

import pytest

from adapters import calls
from adapters.errors import CircuitOpen, Overloaded, RateLimited, StoreUnavailable, Unavailable, VendorError
from adapters.policy import Policy
from adapters.rates import READS, WRITES, Rate
from adapters.retry import Retry
from tests.adapters.conftest import Dial, Serve
from tests.adapters.loopback import Gate, Line, answer, answers, send, settle


def declared(line: Line, kind: str, rate: Rate) -> Line:
    line.transport.rates.declare({kind: rate})
    return line


async def refused(line: Line, retry: Retry) -> VendorError:
    with pytest.raises(VendorError) as limited:
        await send(line.http, retry)
    return limited.value


async def test_a_call_without_a_turn_waits_for_it_and_is_counted_when_it_is_sent(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer({})))
    line = declared(dial(vendor.url), WRITES, Rate(2, 20))
    for _ in range(3):
        await send(line.http, Retry.ONCE)
    assert line.slept == [20.0]
    assert len(vendor.received) == 3


async def test_a_wait_longer_than_the_call_may_take_is_the_callers(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer({})))
    line = declared(dial(vendor.url), WRITES, Rate(1, 60))
    await send(line.http, Retry.ONCE)
    error = await refused(line, Retry.ONCE)
    assert isinstance(error, RateLimited)
    assert (error.reason, error.retry_after_s) == ("GATEWAY_RATE_LIMITED", 60.0)
    assert (error.vendor, error.connection) == ("acme", "main")
    assert line.slept == []
    assert len(vendor.received) == 1


async def test_every_attempt_takes_a_turn_and_what_was_sent_says_more_than_that_there_is_none(
    serve: Serve, dial: Dial
) -> None:
    vendor = await serve(answers(answer(status=503), answer({})))
    line = declared(dial(vendor.url), WRITES, Rate(1, 60))
    assert isinstance(await refused(line, Retry.IDEMPOTENT), Unavailable)
    assert (await refused(line, Retry.IDEMPOTENT)).reason == "GATEWAY_RATE_LIMITED"
    assert len(vendor.received) == 1


async def test_a_call_that_finds_no_place_gives_its_turn_back(serve: Serve, dial: Dial) -> None:
    gate = Gate()
    vendor = await serve(gate)
    line = declared(dial(vendor.url, policy=Policy(concurrency=1, queue=1)), WRITES, Rate(3, 60))
    sending = asyncio.ensure_future(send(line.http, Retry.ONCE))
    await gate.holds(1)
    for _ in range(3):
        leaving = asyncio.ensure_future(send(line.http, Retry.ONCE))
        await settle()
        with pytest.raises(Overloaded):
            await send(line.http, Retry.ONCE)
        leaving.cancel()
        await asyncio.wait([leaving])
    gate.open()
    await sending
    for _ in range(2):
        await send(line.http, Retry.ONCE)
    assert (await refused(line, Retry.ONCE)).reason == "GATEWAY_RATE_LIMITED"
    assert len(vendor.received) == 3


async def test_a_call_whose_connection_is_suspended_meanwhile_gives_its_turn_back(serve: Serve, dial: Dial) -> None:
    gate, counted = Gate(), 0

    async def shared(kind: str, rate: Rate) -> float:
        nonlocal counted
        counted += 1
        return 0.0

    policy = Policy(concurrency=1, breaker_failures=1)
    line = declared(dial((await serve(gate)).url, policy=policy, shared_rates=shared), WRITES, Rate(2, 60))
    sending = asyncio.ensure_future(send(line.http, Retry.ONCE))
    await gate.holds(1)
    waiting = asyncio.ensure_future(send(line.http, Retry.ONCE))
    await settle()
    line.transport.breaker.note(succeeded=False, probe=False)
    gate.open()
    await sending
    with pytest.raises(CircuitOpen):
        await waiting
    # And among all replicas it has not been counted.
    assert counted == 1
    line.transport.breaker.reset()
    await send(line.http, Retry.ONCE)


async def test_a_write_that_may_not_begin_gives_its_turn_back(serve: Serve, dial: Dial) -> None:
    async def refuse() -> None:
        raise StoreUnavailable("not now")

    vendor = await serve(answers(answer({})))
    line = declared(dial(vendor.url), WRITES, Rate(1, 60))
    for _ in range(2):
        with calls.serving(calls.Call(before_write=refuse)), pytest.raises(StoreUnavailable):
            await send(line.http, Retry.ONCE)
    await send(line.http, Retry.ONCE)
    assert (await refused(line, Retry.ONCE)).reason == "GATEWAY_RATE_LIMITED"
    assert len(vendor.received) == 1


async def test_who_waits_for_what_other_replicas_have_taken_holds_no_turn_and_no_place(
    serve: Serve, dial: Dial
) -> None:
    waits_s, free = [5.0, 4.0, 0.0, 0.0], list[int]()

    async def shared(kind: str, rate: Rate) -> float:
        return waits_s.pop(0)

    async def look(wait_s: float) -> None:
        free.append(line.transport.places.free)
        line.slept.append(wait_s)

    vendor = await serve(answers(answer({})))
    line = dial(vendor.url, policy=Policy(concurrency=1), sleep=look, clock=lambda: 0.0, shared_rates=shared)
    declared(line, READS, Rate(2, 60))
    for _ in range(2):
        await send(line.http, Retry.READ)
    assert (line.slept, free) == ([5.0, 4.0], [1, 1])
    assert (await refused(line, Retry.READ)).reason == "GATEWAY_RATE_LIMITED"


async def test_reads_and_writes_and_classes_of_the_vendors_own_are_counted_apart(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer({})))
    line = declared(dial(vendor.url), "starts", Rate(1, 60))
    line.transport.rates.declare({READS: Rate(1, 60), WRITES: Rate(1, 60), "starts": Rate(1, 60)})
    for retry in (Retry.READ, Retry.ONCE):
        await send(line.http, retry)
        assert (await refused(line, retry)).reason == "GATEWAY_RATE_LIMITED"
    await send(line.http, Retry.ONCE, kind="starts")
    with pytest.raises(RateLimited):
        await send(line.http, Retry.ONCE, kind="starts")


async def test_after_a_429_other_calls_of_the_class_stay_here_until_the_vendors_wait_is_over(
    serve: Serve, dial: Dial
) -> None:
    vendor = await serve(answers(answer(status=429, headers={"Retry-After": "40"}), answer({})))
    line = dial(vendor.url)
    assert (await refused(line, Retry.READ)).reason == "VENDOR_RATE_LIMITED"
    error = await refused(line, Retry.READ)
    assert (error.reason, error.retry_after_s) == ("GATEWAY_RATE_LIMITED", 40.0)
    assert len(vendor.received) == 1
    await send(line.http, Retry.ONCE)
    line.slept.append(40.0)
    await send(line.http, Retry.READ)
    assert len(vendor.received) == 3


async def test_an_answer_that_was_the_last_for_now_holds_the_next_call_back(serve: Serve, dial: Dial) -> None:
    last = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9"}
    vendor = await serve(answers(answer({}, headers=last), answer({})))
    line = dial(vendor.url)
    await send(line.http, Retry.READ)
    await send(line.http, Retry.READ)
    assert line.slept == [9.0]


async def test_a_vendor_that_is_reset_is_asked_as_if_nothing_had_been(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer(status=429, headers={"Retry-After": "40"}), answer({})))
    line = declared(dial(vendor.url), WRITES, Rate(1, 60))
    await refused(line, Retry.READ)
    await send(line.http, Retry.ONCE)
    line.transport.reset()
    await send(line.http, Retry.READ)
    await send(line.http, Retry.ONCE)
    assert line.slept == []


async def test_waits_of_a_call_are_told_from_the_vendors_time_and_neither_is_its_own(serve: Serve, dial: Dial) -> None:
    async def awhile(delay_s: float) -> None:
        over = asyncio.Event()
        asyncio.get_running_loop().call_later(0.02, over.set)
        await over.wait()

    vendor = await serve(answers(answer(status=503), answer({})))
    line = declared(dial(vendor.url, sleep=awhile), READS, Rate(1, 5))
    started = time.perf_counter()
    with calls.serving(calls.Call()) as call:
        await send(line.http, Retry.READ)
    # Before the second attempt, and for its turn.
    assert call.wait_s >= 0.04
    assert call.vendor_s > 0
    assert call.wait_s + call.vendor_s <= call.away_s <= time.perf_counter() - started


async def test_what_is_done_before_a_write_is_the_calls_own_time(serve: Serve, dial: Dial) -> None:
    away: list[bool] = []

    async def recorded() -> None:
        away.append(bool(call._away))

    vendor = await serve(answers(answer({})))
    with calls.serving(calls.Call(before_write=recorded)) as call:
        await send(dial(vendor.url).http, Retry.ONCE)
    assert away == [False]


async def test_who_shares_a_read_waits_as_long_as_the_one_who_makes_it(serve: Serve, dial: Dial) -> None:
    gate = Gate()
    vendor = await serve(gate)
    http = dial(vendor.url).http
    made = [calls.Call(), calls.Call()]

    async def read(call: calls.Call) -> None:
        with calls.serving(call):
            await send(http, Retry.READ)

    leader = asyncio.create_task(read(made[0]))
    await gate.holds(1)
    follower = asyncio.create_task(read(made[1]))
    await asyncio.wait([follower], timeout=0.01)
    assert made[1]._away
    gate.open()
    await asyncio.gather(leader, follower)
    assert [call.vendor_calls for call in made] == [1, 0]
    assert all(call.away_s > 0 and not call._away for call in made)
