"""At most so many calls are under way; the others wait in turn, a few of them and not for long; no place is lost."""

import asyncio
import io
from collections.abc import Coroutine, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import calls
from adapters.auth import Token, TokenAuth
from adapters.body import File
from adapters.calls import Call
from adapters.errors import NotFound, Overloaded, ProtocolViolation, TimedOut, Unavailable
from adapters.http import UPLOAD_BYTES, Http
from adapters.places import Places
from adapters.policy import Policy
from adapters.rates import READS, WRITES, Rate
from adapters.retry import Retry
from adapters.secrets import Secret
from adapters.transport import Timeouts
from tests.adapters.conftest import NOW_S, Dial, Serve
from tests.adapters.loopback import Gate, Line, answer, answers, read_fault, send, settle, silence

LONG_S = 1000.0


def start(work: Iterable[Coroutine[Any, Any, Any]]) -> list["asyncio.Task[Any]"]:
    return [asyncio.ensure_future(one) for one in work]


async def end(tasks: Iterable["asyncio.Task[Any]"]) -> list[Any]:
    async with asyncio.timeout(10):
        return await asyncio.gather(*tasks, return_exceptions=True)


async def stop(tasks: list["asyncio.Task[Any]"]) -> None:
    for task in tasks:
        task.cancel()
    await end(tasks)


# --- The line ------------------------------------------------------------------------------------------------------


def taken(size: int, queue: int) -> Places:
    """Return places that are all taken."""
    places = Places(size, queue)
    places.free = 0
    return places


async def test_who_waits_longest_gets_the_next_place() -> None:
    places = taken(1, 9)
    order: list[int] = []

    async def wait(number: int) -> None:
        await places.wait(LONG_S)
        order.append(number)

    waiting = start(wait(number) for number in range(4))
    await settle()
    for count in range(1, 5):
        places.give_back()
        await settle()
        assert order == list(range(count))
        assert places.free == 0
    places.give_back()
    assert places.free == 1
    await end(waiting)


async def test_who_would_wait_behind_too_many_is_refused_at_once() -> None:
    places = taken(1, 2)
    waiting = start(places.wait(LONG_S) for _ in range(2))
    await settle()
    with pytest.raises(Overloaded) as caught:
        await places.wait(LONG_S)
    assert caught.value.reason == "GATEWAY_OVERLOADED"
    places.give_back()
    await settle()
    third = asyncio.ensure_future(places.wait(LONG_S))
    await settle()
    assert not third.done()
    await stop([*waiting, third])


async def test_who_has_no_patience_is_refused_and_takes_no_place() -> None:
    places = taken(1, 9)
    with pytest.raises(Overloaded):
        await places.wait(0.01)
    assert not places._waiting
    places.give_back()
    assert places.free == 1
    places.free = 0
    with pytest.raises(Overloaded):
        await places.wait(0.0)


async def test_a_place_handed_to_somebody_who_just_left_goes_to_the_next() -> None:
    places = taken(1, 9)
    first, second = start(places.wait(LONG_S) for _ in range(2))
    await settle()
    places.give_back()
    first.cancel()
    await end([first, second])
    assert first.cancelled()
    assert not second.cancelled()
    places.give_back()
    assert places.free == 1


@given(st.integers(1, 3), st.lists(st.tuples(st.sampled_from(["take", "give", "leave", "turn"]), st.integers(0, 9))))
async def test_whatever_happens_in_whatever_order_no_place_is_lost_nor_made(
    size: int, steps: list[tuple[str, int]]
) -> None:
    places = Places(size, 4)
    held = 0
    waiting: list[asyncio.Task[None]] = []

    async def take() -> None:
        nonlocal held
        if places.free:
            places.free -= 1
        else:
            await places.wait(LONG_S)
        held += 1

    for what, which in steps:
        if what == "take":
            waiting.append(asyncio.ensure_future(take()))
        elif what == "give" and held:
            held -= 1
            places.give_back()
        elif what == "leave" and waiting:
            # Perhaps in the very moment in which it was handed a place.
            waiting[which % len(waiting)].cancel()
        else:
            await settle()
        assert held <= size
    await settle()
    assert held + places.free == size
    assert not (places.free and places._waiting)
    await stop(waiting)
    assert held + places.free == size
    assert not places._waiting


# --- The calls of a connection -------------------------------------------------------------------------------------


def reads(line: Line, count: int, name: str = "x") -> list["asyncio.Task[Any]"]:
    """Begin reads that are all different."""
    return start(line.http.send("GET", f"{name}{number}", retry=Retry.READ) for number in range(count))


async def test_no_more_calls_than_places_are_under_way_and_the_others_follow(serve: Serve, dial: Dial) -> None:
    gate = Gate()
    line = dial((await serve(gate)).url, policy=Policy(concurrency=3))
    tasks = reads(line, 10)
    await gate.holds(3)
    assert len(line.transport.places._waiting) == 7
    gate.open()
    assert [one.status for one in await end(tasks)] == [200] * 10
    assert gate.most == 3
    assert line.transport.places.free == 3


async def test_sixteen_are_under_way_sixty_four_wait_and_the_next_is_refused_unsent(serve: Serve, dial: Dial) -> None:
    gate = Gate()
    line = dial((await serve(gate)).url)
    tasks = reads(line, 16 + 64)
    await gate.holds(16)
    with calls.serving(Call()) as call, pytest.raises(Overloaded):
        await line.http.send("DELETE", "y", retry=Retry.ONCE)
    assert (call.vendor_calls, call.written) == (0, False)
    gate.open()
    assert {one.status for one in await end(tasks)} == {200}
    assert gate.most == 16


@pytest.mark.parametrize("status", [404, 429, 500])
async def test_a_call_that_fails_gives_its_place_back(serve: Serve, dial: Dial, status: int) -> None:
    line = dial((await serve(answers(answer(status=status)))).url, policy=Policy(concurrency=1, queue=0))
    for retry in Retry:
        line.transport.reset()
        for _ in range(2):
            await end([asyncio.ensure_future(send(line.http, retry))])
            assert line.transport.places.free == 1


async def test_a_caller_that_leaves_gives_its_place_back_or_its_turn(serve: Serve, dial: Dial) -> None:
    gate = Gate()
    line = dial((await serve(gate)).url, policy=Policy(concurrency=1))
    first, second, third = reads(line, 3)
    await gate.holds(1)
    await stop([second])
    await stop([first])
    gate.open()
    [answered] = await end([third])
    assert answered.status == 200
    assert line.transport.places.free == 1
    assert gate.paths == ["/x0", "/x2"]


async def test_a_call_waits_no_longer_than_a_quarter_of_what_its_caller_has_left(serve: Serve, dial: Dial) -> None:
    gate = Gate()
    line = dial((await serve(gate)).url, policy=Policy(concurrency=1))
    held = reads(line, 1)
    await gate.holds(1)
    clock = asyncio.get_running_loop().time
    for retry in Retry:
        begun = clock()
        with calls.serving(Call(begun + 0.45, write_deadline=begun + LONG_S)) as call, pytest.raises(Overloaded):
            await line.http.send("PUT", "y", retry=retry)
        # Of 0.4 s; what is left is for somebody else's try.
        assert 0.1 <= clock() - begun < 0.45
        assert not call.written
    gate.open()
    await end(held)


async def test_the_wait_for_a_place_is_part_of_the_calls_time(serve: Serve, dial: Dial) -> None:
    gate = Gate()
    policy = Policy(concurrency=1, queue_share=1.0)
    line = dial((await serve(gate)).url, policy=policy, timeouts=Timeouts(operation_s=0.3, attempt_s=0.2))
    first = reads(line, 1)
    await gate.holds(1)
    clock = asyncio.get_running_loop().time
    begun = clock()
    with pytest.raises((TimedOut, Overloaded)):
        await line.http.send("GET", "y", retry=Retry.READ)
    assert clock() - begun < 0.6
    await stop(first)


async def test_calls_that_wait_for_a_token_are_as_many_as_could_go_with_it(serve: Serve, dial: Dial) -> None:
    login, gate = asyncio.Event(), Gate()
    url = (await serve(gate)).url

    async def log_in(_: Token | None) -> Token:
        await login.wait()
        return Token(Secret("token"), NOW_S + LONG_S)

    auth = TokenAuth(log_in, lambda _: {}, now=lambda: NOW_S)
    line = dial(url, auth=auth, policy=Policy(concurrency=2, queue=3))
    waiting = reads(line, 5)
    await settle()
    with calls.serving(Call()) as call, pytest.raises(Overloaded):
        await send(line.http, Retry.ONCE)
    assert (call.vendor_calls, call.written) == (0, False)
    await stop(waiting[:1])
    waiting += reads(line, 1, "late")
    login.set()
    await gate.holds(2)
    gate.open()
    assert [one.status for one in await end(waiting[1:])] == [200] * 5


async def test_calls_that_are_refused_together_and_wait_for_the_same_new_token_are_bounded_too(
    serve: Serve, dial: Dial
) -> None:
    login, logged_in = asyncio.Event(), 0

    async def log_in(_: Token | None) -> Token:
        nonlocal logged_in
        logged_in += 1
        if logged_in > 1:
            await login.wait()
        return Token(Secret("token"), NOW_S + LONG_S)

    vendor = await serve(answers(*[answer(status=401)] * 3, answer({})))
    line = dial(
        vendor.url, auth=TokenAuth(log_in, lambda _: {}, now=lambda: NOW_S), policy=Policy(concurrency=2, queue=0)
    )
    waiting = reads(line, 2)
    async with asyncio.timeout(10):
        while logged_in < 2 or line.transport.places.free < 2:
            await settle()
    with pytest.raises(Overloaded):
        await send(line.http, Retry.IDEMPOTENT)
    login.set()
    assert [one.status for one in await end(waiting)] == [200] * 2


async def test_a_login_goes_though_as_many_wait_for_it_as_may(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer({})))
    line = dial(vendor.url, policy=Policy(concurrency=2, queue=0))
    line.transport.rates.declare({WRITES: Rate(9, 60)})

    async def log_in(_: Token | None) -> Token:
        await send(line.http, Retry.ONCE)
        return Token(Secret("token"), NOW_S + LONG_S)

    auth = TokenAuth(log_in, lambda _: {}, now=lambda: NOW_S)
    other = Http(line.transport, vendor.url, auth=auth, read_fault=read_fault)
    both = start(other.send("GET", f"x{number}", retry=Retry.READ) for number in range(2))
    assert [one.status for one in await end(both)] == [200] * 2


async def test_calls_that_wait_for_the_vendors_limits_are_bounded_as_those_that_could_go(
    serve: Serve, dial: Dial
) -> None:
    async def forever(_: float) -> None:
        await asyncio.Event().wait()

    vendor = await serve(answers(answer({})))
    line = dial(vendor.url, policy=Policy(concurrency=2, queue=3), sleep=forever, clock=lambda: 0.0)
    line.transport.rates.succeeded(READS, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9"}, NOW_S)
    waiting = reads(line, 5)
    await settle()
    with pytest.raises(Overloaded):
        await send(line.http, Retry.READ)
    assert (await send(line.http, Retry.ONCE)).status == 200
    await stop(waiting)


async def test_a_place_is_free_while_a_call_waits_for_its_next_attempt(serve: Serve, dial: Dial) -> None:
    free: list[int] = []

    async def look(_: float) -> None:
        free.append(line.transport.places.free)

    line = dial((await serve(answers(answer(status=500)))).url, policy=Policy(concurrency=1), sleep=look)
    with pytest.raises(Unavailable):
        await send(line.http, Retry.READ)
    assert free == [1, 1]


# --- Those that count apart ----------------------------------------------------------------------------------------


async def test_pollers_have_places_of_their_own(serve: Serve, dial: Dial) -> None:
    gate = Gate()
    line = dial((await serve(gate)).url, policy=Policy(concurrency=1, polling_concurrency=2))

    with calls.serving(Call(polling=True)):
        polls = reads(line, 5, "poll")
    await gate.holds(2)
    others = reads(line, 1)
    await gate.holds(3)
    assert sorted(gate.paths) == ["/poll0", "/poll1", "/x0"]
    gate.open()
    assert {one.status for one in await end([*polls, *others])} == {200}
    assert (line.transport.places.free, line.transport.polling.free) == (1, 2)


async def test_a_download_holds_its_place_until_its_reader_is_through_and_no_other_calls(
    serve: Serve, dial: Dial
) -> None:
    line = dial((await serve(answers(answer({})))).url, policy=Policy(concurrency=1, download_concurrency=1, queue=0))
    async with line.http.stream("file") as stream:
        assert line.transport.downloads.free == 0
        assert (await send(line.http, Retry.READ)).status == 200
        with pytest.raises(Overloaded):
            async with line.http.stream("file"):
                raise AssertionError
        assert b"".join([chunk async for chunk in stream.chunks]) == b"{}"
        assert line.transport.downloads.free == 0
    assert line.transport.downloads.free == 1


async def test_a_download_that_is_refused_or_misread_gives_its_place_back(serve: Serve, dial: Dial) -> None:
    encoded = answer({}, headers={"Content-Encoding": "gzip"})
    vendor = await serve(answers(answer(status=404), answer({}), encoded))
    line = dial(vendor.url, policy=Policy(download_concurrency=1, queue=0))
    for error in (NotFound, ValueError, ProtocolViolation):
        with pytest.raises(error):
            async with line.http.stream("file"):
                raise ValueError("the reader fails")
        assert line.transport.downloads.free == 1


async def test_an_upload_holds_its_place_until_the_answer(serve: Serve, dial: Dial) -> None:
    gate = Gate()
    line = dial((await serve(gate)).url, policy=Policy(concurrency=1, queue=0))
    size = UPLOAD_BYTES + 1
    [upload] = start(
        [line.http.send("PUT", "x", retry=Retry.ONCE, body=File(file=io.BytesIO(b"z" * size), size_bytes=size))]
    )
    await gate.holds(1)
    with pytest.raises(Overloaded):
        await send(line.http, Retry.READ)
    gate.open()
    assert (await upload).status == 200
    assert line.transport.places.free == 1


# --- Nothing is shared between connections -------------------------------------------------------------------------


async def test_a_vendor_that_hangs_takes_nothing_of_another_connections(serve: Serve, dial: Dial) -> None:
    gate = Gate()
    hanging = dial((await serve(gate)).url)
    stuck = reads(hanging, 16 + 64)
    await gate.holds(16)
    assert len(hanging.transport.places._waiting) == 64
    well = dial((await serve(answers(answer({})))).url, policy=Policy(queue=0))
    # All at once, with no line to wait in: each has its place at once, or is refused.
    assert [one.status for one in await end(reads(well, 16))] == [200] * 16
    assert not any(task.done() for task in stuck)
    await stop(stuck)
    assert hanging.transport.places.free == 16


async def test_a_silent_vendor_suspends_its_own_connection_alone(serve: Serve, dial: Dial) -> None:
    line = dial((await serve(silence)).url, timeouts=Timeouts(attempt_s=0.02), policy=Policy(breaker_failures=2))
    other = dial((await serve(answers(answer({})))).url)
    with pytest.raises(TimedOut):
        await send(line.http, Retry.READ)
    assert line.transport.breaker.open
    assert (await send(other.http, Retry.READ)).status == 200
    assert not other.transport.breaker.open
