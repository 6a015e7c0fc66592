"""Who reads what is just being read shares the answer, has an end of its own, and never reads what a write made old."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from adapters import calls
from adapters.auth import FixedAuth
from adapters.calls import Call
from adapters.errors import CredentialsRejected, NotFound, Overloaded, RateLimited, TimedOut, Unavailable, VendorError
from adapters.http import Answer, Http
from adapters.places import FOLLOWERS
from adapters.policy import Policy
from adapters.retry import Retry
from tests.adapters.conftest import Dial, Serve
from tests.adapters.loopback import Gate, Line, answer, answers, in_turn, read_fault, send, settle, silence


def begin(http: Http, path: str = "x", **more: Any) -> "asyncio.Task[Answer]":
    return asyncio.ensure_future(http.send("GET", path, retry=Retry.READ, **more))


async def begin_within(http: Http, left_s: float) -> Answer:
    """Read as a caller that has so little time left."""
    with calls.serving(Call(asyncio.get_running_loop().time() + left_s)):
        return await http.send("GET", "x", retry=Retry.READ)


async def leave(task: "asyncio.Task[Answer]") -> None:
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


class Opened:
    """A gate that fails what it kept, in the way given."""

    def __init__(self, status: int) -> None:
        self.gate = Gate()
        self._status = status

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        await self.gate(request)
        return web.Response(status=self._status)


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


# --- Sharing -------------------------------------------------------------------------------------------------------


async def test_the_same_read_by_many_is_one_call_that_counts_for_who_made_it(
    serve: Serve, dial: Dial, gate: Gate
) -> None:
    line = dial((await serve(gate)).url, policy=Policy(concurrency=1, queue=0))

    async def read() -> tuple[Answer, Call]:
        with calls.serving(Call()) as call:
            return await line.http.send("GET", "x", retry=Retry.READ, query=[("a", "b")]), call

    reading = [asyncio.ensure_future(read()) for _ in range(64)]
    await gate.holds(1)
    gate.open()
    read_by = await asyncio.gather(*reading)
    assert len(gate.paths) == 1
    assert {one.body for one, _ in read_by} == {b"{}"}
    assert sorted(call.vendor_calls for _, call in read_by) == [0] * 63 + [1]
    assert all(call.vendor_s > 0 for _, call in read_by)


async def test_so_many_may_share_a_read_and_the_next_is_refused(serve: Serve, dial: Dial, gate: Gate) -> None:
    line = dial((await serve(gate)).url, policy=Policy(concurrency=1, queue=0))
    reading = [begin(line.http) for _ in range(1 + FOLLOWERS)]
    await gate.holds(1)
    with pytest.raises(Overloaded):
        await begin(line.http)
    await leave(reading.pop())
    reading.append(begin(line.http))
    gate.open()
    assert {one.status for one in await asyncio.gather(*reading)} == {200}


async def test_what_is_over_is_read_anew(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer(1), answer(2)))
    line = dial(vendor.url)
    assert [(await send(line.http, Retry.READ)).body for _ in range(2)] == [b"1", b"2"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"path": "x"}, {"path": "y"}),
        ({"query": [("a", "1")]}, {"query": [("a", "2")]}),
        ({"headers": {"Accept": "a/b"}}, {}),
        ({"resource": "connections/main/destinations/1"}, {"resource": "connections/main/exportJobs/1"}),
        ({"permission": "read"}, {"permission": "write"}),
    ],
    ids=["path", "query", "headers", "resource", "permission"],
)
async def test_reads_that_differ_in_anything_are_apart(
    serve: Serve, dial: Dial, gate: Gate, first: dict[str, Any], second: dict[str, Any]
) -> None:
    line = dial((await serve(gate)).url)
    both = [begin(line.http, **first), begin(line.http, **second)]
    await gate.holds(2)
    gate.open()
    await asyncio.gather(*both)
    assert len(gate.paths) == 2


async def test_a_callers_read_does_not_wait_in_the_line_of_pollers(serve: Serve, dial: Dial, gate: Gate) -> None:
    line = dial((await serve(gate)).url, policy=Policy(polling_concurrency=1))
    with calls.serving(Call(polling=True)):
        polls = [begin(line.http, path) for path in ("busy", "x", "x")]
        await settle()
    own = begin(line.http)
    await gate.holds(2)
    assert gate.paths == ["/busy", "/x"]
    gate.open()
    assert {one.status for one in await asyncio.gather(own, *polls)} == {200}
    # Those of pollers are one among themselves.
    assert len(gate.paths) == 3


async def test_credentials_of_their_own_keep_reads_apart(serve: Serve, dial: Dial, gate: Gate) -> None:
    line = dial((await serve(gate)).url)
    other = Http(line.transport, line.http._base, auth=FixedAuth({"X-Key": "other"}), read_fault=read_fault)
    both = [begin(line.http), begin(other)]
    await gate.holds(2)
    gate.open()
    await asyncio.gather(*both)
    assert len(gate.paths) == 2


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
async def test_only_a_get_is_shared(serve: Serve, dial: Dial, gate: Gate, method: str) -> None:
    line = dial((await serve(gate)).url)
    both = [asyncio.ensure_future(line.http.send(method, "x", retry=Retry.READ)) for _ in range(2)]
    await gate.holds(2)
    gate.open()
    await asyncio.gather(*both)
    assert len(gate.paths) == 2


async def test_a_get_that_does_something_is_not_shared(serve: Serve, dial: Dial, gate: Gate) -> None:
    line = dial((await serve(gate)).url)
    both = [asyncio.ensure_future(line.http.send("GET", "x", retry=Retry.ONCE)) for _ in range(2)]
    await gate.holds(2)
    gate.open()
    await asyncio.gather(*both)
    assert len(gate.paths) == 2


# --- Failures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFound), (401, CredentialsRejected), (500, Unavailable), (429, RateLimited)]
)
async def test_what_the_vendor_answered_is_everybodys_each_with_an_error_of_its_own(
    serve: Serve, dial: Dial, status: int, kind: type[VendorError]
) -> None:
    handler = Opened(status)
    vendor = await serve(handler)
    line = dial(vendor.url, policy=Policy(attempts=1))
    resource = "connections/main/destinations/1"
    reading = [begin(line.http, resource=resource) for _ in range(8)]
    await handler.gate.holds(1)
    handler.gate.open()
    failures = await asyncio.gather(*reading, return_exceptions=True)
    assert len(vendor.received) == 1
    assert {type(one) for one in failures} == {kind}
    shown = [{**vars(one), "args": one.args} for one in failures if isinstance(one, VendorError)]
    assert shown == [shown[0]] * 8
    assert len({id(one) for one in failures}) == 8
    assert max(depth(one) for one in failures) < 20


def depth(error: Any) -> int:
    """Return how many places an exception has come through."""
    count, place = 0, error.__traceback__
    while place is not None:
        count, place = count + 1, place.tb_next
    return count


# --- Ends of their own ---------------------------------------------------------------------------------------------


async def test_who_follows_and_leaves_takes_nobody_along(serve: Serve, dial: Dial, gate: Gate) -> None:
    line = dial((await serve(gate)).url)
    leader, follower, other = begin(line.http), begin(line.http), begin(line.http)
    await gate.holds(1)
    await leave(follower)
    gate.open()
    assert [one.status for one in await asyncio.gather(leader, other)] == [200, 200]
    assert len(gate.paths) == 1


async def test_when_the_leader_leaves_another_takes_over_for_all_the_others(
    serve: Serve, dial: Dial, gate: Gate
) -> None:
    line = dial((await serve(gate)).url)
    leader, *others = [begin(line.http) for _ in range(9)]
    await gate.holds(1)
    await leave(leader)
    # The first request is given up, and there is one for the others.
    async with asyncio.timeout(10):
        while len(gate.paths) < 2:
            await settle()
    gate.open()
    assert {one.status for one in await asyncio.gather(*others)} == {200}
    assert len(gate.paths) == 2


async def test_when_the_leaders_time_ends_another_takes_over(serve: Serve, dial: Dial) -> None:
    vendor = await serve(in_turn(silence, answers(answer({}))))
    line = dial(vendor.url)
    leader = asyncio.ensure_future(begin_within(line.http, 0.15))
    await settle()
    others = [begin(line.http) for _ in range(3)]
    with pytest.raises(TimedOut):
        await leader
    assert {one.status for one in await asyncio.gather(*others)} == {200}
    assert len(vendor.received) == 2


async def test_when_the_leader_has_no_time_for_another_attempt_another_takes_over(serve: Serve, dial: Dial) -> None:
    gate = Gate()

    async def fail(request: web.BaseRequest) -> web.StreamResponse:
        await gate(request)
        return web.Response(status=500)

    vendor = await serve(in_turn(fail, answers(answer({}))))
    line = dial(vendor.url, policy=Policy(backoff_base_s=20.0, backoff_max_s=20.0))
    leader = asyncio.ensure_future(begin_within(line.http, 5.0))
    await gate.holds(1)
    other = begin(line.http)
    await settle()
    gate.open()
    with pytest.raises(Unavailable):
        await leader
    assert (await other).status == 200
    assert len(vendor.received) == 2


async def test_a_followers_time_ends_by_itself(serve: Serve, dial: Dial, gate: Gate) -> None:
    line = dial((await serve(gate)).url)
    leader = begin(line.http)
    await gate.holds(1)
    with pytest.raises(TimedOut) as caught:
        await begin_within(line.http, 0.1)
    assert (caught.value.vendor, caught.value.connection) == ("acme", "main")
    with pytest.raises(TimedOut):
        await begin_within(line.http, -1.0)
    gate.open()
    assert (await leader).status == 200
    assert len(gate.paths) == 1


# --- Reading what one wrote ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("retry", [Retry.IDEMPOTENT, Retry.ONCE])
async def test_after_a_write_nobody_shares_what_was_read_before_it_ended(
    serve: Serve, dial: Dial, retry: Retry
) -> None:
    held = {"GET": Gate(), "PUT": Gate(), "POST": Gate()}

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return await held[request.method](request)

    line = dial((await serve(handler)).url)
    write_gate = held["PUT" if retry is Retry.IDEMPOTENT else "POST"]
    before = begin(line.http)
    await held["GET"].holds(1)
    write = asyncio.ensure_future(send(line.http, retry))
    await write_gate.holds(1)
    meanwhile = [begin(line.http), begin(line.http)]
    await held["GET"].holds(2)
    write_gate.open()
    await write
    after = [begin(line.http), begin(line.http)]
    await held["GET"].holds(3)
    held["GET"].open()
    await asyncio.gather(before, *meanwhile, *after)
    assert len(held["GET"].paths) == 3


async def test_after_a_write_that_was_given_up_nobody_shares_what_was_read_before(
    serve: Serve, dial: Dial, gate: Gate
) -> None:
    line = dial((await serve(gate)).url)
    write = asyncio.ensure_future(send(line.http, Retry.ONCE))
    await gate.holds(1)
    before = begin(line.http)
    await gate.holds(2)
    await leave(write)
    after = begin(line.http)
    async with asyncio.timeout(10):
        while len(gate.paths) < 3:
            await settle()
    gate.open()
    await asyncio.gather(before, after)
    assert len(gate.paths) == 3


async def test_a_write_by_another_line_of_the_connection_counts_too(serve: Serve, dial: Dial, gate: Gate) -> None:
    reads = await serve(gate)
    line = dial(reads.url)
    writes = await serve(answers(answer({})))
    other = Http(line.transport, writes.url, auth=FixedAuth({}), read_fault=read_fault)
    before = begin(line.http)
    await gate.holds(1)
    await send(other, Retry.ONCE)
    after = begin(line.http)
    await gate.holds(2)
    gate.open()
    await asyncio.gather(before, after)
    assert len(gate.paths) == 2


async def test_nothing_is_left_behind(serve: Serve, dial: Dial) -> None:
    line: Line = dial((await serve(answers(answer(status=404), answer({})))).url)
    for _ in range(2):
        await asyncio.gather(*(begin(line.http) for _ in range(3)), return_exceptions=True)
    assert not line.http._flights
