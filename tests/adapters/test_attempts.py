"""How often a call is sent, over which connection, within which time, and what is said when no answer comes."""

import asyncio
import inspect
import math
import selectors
import socket
import ssl
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from typing import Any

import aiohttp
import psutil
import pytest
import trustme
from aiohttp import web

from adapters import calls, errors
from adapters.auth import FixedAuth, Token, TokenAuth
from adapters.calls import Call
from adapters.errors import CredentialsRejected, RateLimited, TimedOut, Unavailable, VendorError
from adapters.http import Answer, Http
from adapters.retry import Backoff, Retry
from adapters.secrets import Secret
from adapters.transport import Timeouts, Transport
from tests.adapters.conftest import NOW_S, Dial, Serve
from tests.adapters.loopback import Handler, answer, answers, drop, half, read_fault, silence

METHODS = {Retry.READ: "GET", Retry.IDEMPOTENT: "PUT", Retry.ONCE: "POST"}
SENT = {Retry.READ: 3, Retry.IDEMPOTENT: 3, Retry.ONCE: 1}
BRIEF = Timeouts(operation_s=5.0, attempt_s=0.05, connect_s=0.05, idle_s=0.05)


async def send(http: Http, retry: Retry, path: str = "x", **more: Any) -> Answer:
    return await http.send(METHODS[retry], path, retry=retry, **more)


def in_turn(*handlers: Handler) -> Handler:
    """Return a handler that is each of *handlers* in turn, and the last one from then on."""
    left = list(handlers)

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return await (left.pop(0) if len(left) > 1 else left[0])(request)

    return handler


@pytest.fixture
def mute() -> Iterator[int]:
    """A port that takes connections and never says a word: no TLS handshake comes to its end there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def closed() -> Iterator[int]:
    """A port that nobody listens on, and that nobody else gets meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


# --- Nothing was sent ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retry", Retry)
async def test_a_refused_connection_is_tried_again_whatever_the_call(dial: Dial, closed: int, retry: Retry) -> None:
    line = dial(f"http://127.0.0.1:{closed}")
    with calls.serving(Call()) as call, pytest.raises(Unavailable) as caught:
        await send(line.http, retry)
    assert call.vendor_calls == 3
    assert line.slept == [0.05, 0.1]
    assert caught.value.fault.http_status == 0
    assert "not sent" in caught.value.message
    assert (caught.value.vendor, caught.value.connection) == ("acme", "main")


@pytest.mark.parametrize("retry", Retry)
async def test_a_host_without_an_address_is_tried_again_whatever_the_call(
    dial: Dial, monkeypatch: pytest.MonkeyPatch, retry: Retry
) -> None:
    async def unknown(*args: object, **more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    line = dial("http://nosuch.invalid")
    with pytest.raises(Unavailable, match="not sent"):
        await send(line.http, retry)
    assert len(line.slept) == 2


@pytest.mark.parametrize("retry", Retry)
async def test_a_look_up_that_takes_for_ever_is_cut_by_the_connect_timeout(
    dial: Dial, monkeypatch: pytest.MonkeyPatch, retry: Retry
) -> None:
    async def never(*args: object, **more: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    line = dial("http://slow.invalid", timeouts=Timeouts(connect_s=0.02))
    with pytest.raises(Unavailable, match="not sent"):
        await send(line.http, retry)
    with pytest.raises(Unavailable, match="not sent"):
        async with line.http.stream("x"):
            raise AssertionError
    assert len(line.slept) == 4


@pytest.mark.parametrize("retry", Retry)
async def test_a_handshake_that_takes_for_ever_is_cut_by_the_connect_timeout(
    dial: Dial, mute: int, retry: Retry
) -> None:
    line = dial(f"https://127.0.0.1:{mute}", timeouts=Timeouts(connect_s=0.02))
    with pytest.raises(Unavailable, match="not sent"):
        await send(line.http, retry)
    assert len(line.slept) == 2


@pytest.mark.parametrize("body", [None, b"{}"])
async def test_a_write_whose_time_ends_while_it_connects_was_never_sent(
    dial: Dial, mute: int, body: bytes | None
) -> None:
    line = dial(f"https://127.0.0.1:{mute}", timeouts=Timeouts(operation_s=0.05))
    with pytest.raises(Unavailable, match="not sent"):
        await send(line.http, Retry.ONCE, body=body)


@pytest.mark.parametrize("retry", Retry)
async def test_a_certificate_that_nobody_vouches_for_is_trusted_by_no_call(
    serve: Serve, dial: Dial, retry: Retry
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    vendor = await serve(answers(answer()), tls=context)
    line = dial(vendor.url, auth=FixedAuth({"Authorization": "Bearer t"}))
    with pytest.raises(Unavailable, match=r"not sent \(ClientConnectorCertificateError\)"):
        await send(line.http, retry)
    assert len(line.slept) == 2
    assert vendor.received == []


@pytest.mark.parametrize("retry", Retry)
async def test_a_vendor_that_speaks_no_tls_is_no_vendor(serve: Serve, dial: Dial, retry: Retry) -> None:
    vendor = await serve(answers(answer()))
    with pytest.raises(Unavailable, match="not sent"):
        await send(dial(vendor.url.replace("http:", "https:")).http, retry)
    assert vendor.received == []


# --- An answer that never came -------------------------------------------------------------------------------------


@pytest.mark.parametrize("breaks", [drop, half(), half(chunked=True)], ids=["reset", "half", "half of chunks"])
@pytest.mark.parametrize(
    ("retry", "kind"),
    [(Retry.READ, Unavailable), (Retry.IDEMPOTENT, Unavailable), (Retry.ONCE, errors.OutcomeUnknown)],
)
async def test_an_answer_that_breaks_off(
    serve: Serve, dial: Dial, breaks: Handler, retry: Retry, kind: type[VendorError]
) -> None:
    vendor = await serve(breaks)
    with pytest.raises(VendorError) as caught:
        await send(dial(vendor.url).http, retry, body=b"{}")
    assert type(caught.value) is kind
    assert caught.value.fault.http_status == 0
    assert (caught.value.vendor, caught.value.connection) == ("acme", "main")
    assert len(vendor.received) == SENT[retry]


@pytest.mark.parametrize(
    ("retry", "kind"), [(Retry.READ, TimedOut), (Retry.IDEMPOTENT, TimedOut), (Retry.ONCE, errors.OutcomeUnknown)]
)
@pytest.mark.parametrize("body", [None, b"{}"])
async def test_a_vendor_that_stays_silent(
    serve: Serve, dial: Dial, body: bytes | None, retry: Retry, kind: type[VendorError]
) -> None:
    vendor = await serve(silence)
    timeouts = Timeouts(operation_s=0.2 if retry is Retry.ONCE else 5.0, attempt_s=0.05)
    with pytest.raises(VendorError) as caught:
        await send(dial(vendor.url, timeouts=timeouts).http, retry, body=body)
    assert type(caught.value) is kind
    assert len(vendor.received) == SENT[retry]
    async with asyncio.timeout(5):
        await vendor.handler_gone.wait()


@pytest.mark.parametrize("first", [drop, half(), answers(answer(status=503)), silence], ids=range(4))
@pytest.mark.parametrize("retry", [Retry.READ, Retry.IDEMPOTENT])
async def test_what_may_be_sent_again_is_answered_by_the_next_attempt(
    serve: Serve, dial: Dial, first: Handler, retry: Retry
) -> None:
    vendor = await serve(in_turn(first, answers(answer({"id": "1"}))))
    reply = await send(dial(vendor.url, timeouts=BRIEF).http, retry, body=b"{}")
    assert reply.body == b'{"id": "1"}'
    assert [received.body for received in vendor.received] == [b"{}", b"{}"]


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
async def test_a_write_that_may_have_been_accepted_is_sent_once(serve: Serve, dial: Dial, status: int) -> None:
    vendor = await serve(answers(answer(status=status)))
    with pytest.raises(errors.OutcomeUnknown) as caught:
        await send(dial(vendor.url).http, Retry.ONCE, json={})
    assert caught.value.fault.http_status == status
    assert len(vendor.received) == 1


# --- A body that did not leave whole -------------------------------------------------------------------------------

BIG = b"z" * 20_000_000


@pytest.mark.parametrize("leave", ["abort", "close"])
async def test_a_write_that_breaks_off_before_its_last_byte_was_not_accepted(
    serve: Serve, dial: Dial, leave: str
) -> None:
    async def some(request: web.BaseRequest) -> web.StreamResponse:
        await request.content.readany()
        getattr(request.transport, leave)()
        return web.Response()

    vendor = await serve(some, read=False)
    with pytest.raises(Unavailable, match="not sent"):
        await send(dial(vendor.url).http, Retry.ONCE, body=BIG)
    assert len(vendor.received) == 3


@pytest.mark.parametrize("retry", Retry)
@pytest.mark.parametrize(
    ("status", "kind"), [(413, errors.TooLarge), (503, Unavailable), (400, errors.Rejected), (429, RateLimited)]
)
async def test_an_answer_that_comes_early_is_heard_and_means_not_accepted(
    serve: Serve, dial: Dial, status: int, kind: type[VendorError], retry: Retry
) -> None:
    vendor = await serve(answers(answer({"code": "early"}, status=status)), read=False)
    with pytest.raises(VendorError) as caught:
        await send(dial(vendor.url, backoff=Backoff(attempts=1)).http, retry, body=BIG)
    assert type(caught.value) is kind
    assert caught.value.fault.code == "early"


async def test_an_upload_that_is_not_taken_ends_after_the_idle_time(serve: Serve, dial: Dial) -> None:
    vendor = await serve(silence, read=False)
    line = dial(vendor.url, timeouts=Timeouts(idle_s=0.05), backoff=Backoff(attempts=1))
    for retry in Retry:
        with pytest.raises(Unavailable, match="not sent"):
            await send(line.http, retry, body=BIG)


async def test_an_upload_that_is_not_taken_keeps_no_connection(dial: Dial, mute: int) -> None:
    # close() would keep the socket until its buffer is taken, so for ever.
    line = dial(f"http://127.0.0.1:{mute}", timeouts=Timeouts(idle_s=0.02))
    with pytest.raises(Unavailable, match="not sent"):
        await send(line.http, Retry.ONCE, body=BIG)
    await asyncio.sleep(0)
    assert [mute] not in [[*end.raddr][1:] for end in psutil.Process().net_connections("tcp")]


async def test_an_upload_takes_as_long_as_it_is_taken(serve: Serve, dial: Dial) -> None:
    enough = asyncio.Event()
    got_bytes = 0

    async def slowly(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal got_bytes
        async for chunk in request.content.iter_any():
            got_bytes += len(chunk)
            if got_bytes > len(BIG) // 2:
                await enough.wait()
        return web.json_response({})

    vendor = await serve(slowly, read=False)
    # Longer than an attempt or an operation may take.
    line = dial(vendor.url, timeouts=Timeouts(operation_s=0.05, attempt_s=0.05, idle_s=5.0))
    asyncio.get_running_loop().call_later(0.15, enough.set)
    assert (await send(line.http, Retry.IDEMPOTENT, body=BIG)).status == 200
    assert enough.is_set()
    assert got_bytes == len(BIG)


async def test_an_upload_ends_with_the_callers_deadline(serve: Serve, dial: Dial) -> None:
    vendor = await serve(silence, read=False)
    clock = asyncio.get_running_loop().time
    deadline = clock() + 0.15
    with calls.serving(Call(deadline)), pytest.raises(Unavailable, match="not sent"):
        await send(dial(vendor.url).http, Retry.IDEMPOTENT, body=BIG)
    assert clock() < deadline + 1


@pytest.mark.parametrize(("retry", "kind"), [(Retry.IDEMPOTENT, TimedOut), (Retry.ONCE, errors.OutcomeUnknown)])
async def test_an_upload_that_is_never_answered_ends_after_the_idle_time(
    serve: Serve, dial: Dial, retry: Retry, kind: type[VendorError]
) -> None:
    vendor = await serve(silence)
    line = dial(vendor.url, timeouts=Timeouts(idle_s=0.1), backoff=Backoff(attempts=1))
    with pytest.raises(kind):
        await send(line.http, retry, body=BIG)
    assert [len(received.body) for received in vendor.received] == [len(BIG)]


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


async def test_attempts_share_one_deadline(serve: Serve, dial: Dial) -> None:
    vendor = await serve(silence)
    clock = asyncio.get_running_loop().time
    begun = clock()
    line = dial(vendor.url, timeouts=Timeouts(operation_s=0.11, attempt_s=0.1), jitter=lambda: 0.0)
    with pytest.raises(TimedOut):
        await send(line.http, Retry.READ)
    # The second attempt gets the tenth of its time that is left, the third one nothing.
    assert len(vendor.received) == 2
    assert 0.11 <= clock() - begun < 0.2


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


# --- Connections ---------------------------------------------------------------------------------------------------


def one_call_each(*, then: str) -> Handler:
    """Return a handler that answers the first call of a connection and ends the connection at the second."""
    seen: set[object] = set()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.protocol in seen:
            assert request.transport is not None
            getattr(request.transport, then)()
        seen.add(request.protocol)
        return web.json_response({})

    return handler


@pytest.mark.parametrize("then", ["abort", "close"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
async def test_each_attempt_is_received_exactly_once(serve: Serve, dial: Dial, method: str, then: str) -> None:
    # aiohttp would send idempotent methods again by itself, unseen and uncounted.
    vendor = await serve(one_call_each(then=then))
    line = dial(vendor.url, backoff=Backoff(attempts=1))
    await line.http.send(method, "first", retry=Retry.IDEMPOTENT)
    with calls.serving(Call()) as call, pytest.raises(Unavailable):
        await line.http.send(method, "second", retry=Retry.IDEMPOTENT)
    assert [received.target for received in vendor.received] == ["/first", "/second"]
    assert [received.connection for received in vendor.received] == [1, 1]
    assert call.vendor_calls == 1


async def test_aiohttp_still_has_the_switch_that_is_turned_off(dial: Dial) -> None:
    transport = dial("http://acme.invalid").transport
    assert "self._retry_connection" in inspect.getsource(aiohttp.ClientSession)
    assert transport.pooled._retry_connection is False
    assert transport.fresh._retry_connection is False


async def test_reads_and_idempotent_writes_share_a_connection_and_other_writes_get_their_own(
    serve: Serve, dial: Dial
) -> None:
    vendor = await serve(answers(answer({})))
    line = dial(vendor.url)
    for retry in [Retry.READ, Retry.IDEMPOTENT, Retry.ONCE, Retry.READ, Retry.ONCE]:
        await send(line.http, retry)
    assert [received.connection for received in vendor.received] == [1, 1, 2, 1, 3]
    assert [received.headers.get("Connection") for received in vendor.received] == [None, None, "close", None, "close"]


async def test_a_vendor_that_closes_idle_connections_does_not_make_a_writes_outcome_unknown(
    serve: Serve, dial: Dial
) -> None:
    vendor = await serve(one_call_each(then="close"))
    line = dial(vendor.url)
    for _ in range(5):
        await send(line.http, Retry.READ)
        assert (await send(line.http, Retry.ONCE)).status == 200


# --- Credentials ---------------------------------------------------------------------------------------------------


class Tokens:
    """A login that gives `t1`, `t2`, …, and a vendor's handler that knows the good ones."""

    def __init__(self, *good: str) -> None:
        self.good = {f"Bearer {token}" for token in good}
        self.fetches = 0
        self.held: asyncio.Event | None = None
        self.auth = TokenAuth(self._fetch, self._headers, now=lambda: NOW_S)

    async def _fetch(self, present: Token | None) -> Token:
        self.fetches += 1
        number = self.fetches
        if self.held and number > 1:
            await self.held.wait()
        return Token(Secret(f"t{number}"), NOW_S + 3600)

    @staticmethod
    def _headers(token: str) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {token}"}

    async def handler(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({}, status=200 if request.headers["Authorization"] in self.good else 401)


@pytest.mark.parametrize("retry", Retry)
async def test_a_refused_token_is_renewed_and_the_call_sent_again_at_once(
    serve: Serve, dial: Dial, retry: Retry
) -> None:
    tokens = Tokens("t2")
    vendor = await serve(tokens.handler)
    line = dial(vendor.url, auth=tokens.auth)
    await send(line.http, retry)
    assert [received.headers["Authorization"] for received in vendor.received] == ["Bearer t1", "Bearer t2"]
    assert line.slept == []


@pytest.mark.parametrize("retry", Retry)
async def test_a_token_refused_after_renewal_is_the_operators_affair(serve: Serve, dial: Dial, retry: Retry) -> None:
    tokens = Tokens()
    vendor = await serve(tokens.handler)
    with pytest.raises(CredentialsRejected) as caught:
        await send(dial(vendor.url, auth=tokens.auth).http, retry)
    assert caught.value.reason == "VENDOR_CREDENTIALS_REJECTED"
    assert len(vendor.received) == 2
    assert tokens.fetches == 2


async def test_fixed_credentials_that_are_refused_are_not_sent_again(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer(status=401)))
    with pytest.raises(CredentialsRejected):
        await send(dial(vendor.url, auth=FixedAuth({"Authorization": "k"})).http, Retry.READ)
    assert len(vendor.received) == 1


async def test_fifty_calls_that_are_refused_at_once_renew_once(serve: Serve, dial: Dial) -> None:
    tokens = Tokens("t2")
    vendor = await serve(tokens.handler)
    line = dial(vendor.url, auth=tokens.auth)
    replies = await asyncio.gather(*(send(line.http, Retry.READ) for _ in range(50)))
    assert {reply.status for reply in replies} == {200}
    assert tokens.fetches == 2


async def test_a_login_that_takes_for_ever_does_not_outlast_the_call(serve: Serve, dial: Dial) -> None:
    tokens = Tokens("t2")
    tokens.held = asyncio.Event()
    vendor = await serve(tokens.handler)
    line = dial(vendor.url, auth=tokens.auth, timeouts=Timeouts(operation_s=0.1))
    with pytest.raises(TimedOut, match="no token in time"):
        await send(line.http, Retry.READ)
    tokens.held.set()
    assert (await send(line.http, Retry.READ)).status == 200
    assert tokens.fetches == 2


async def test_a_first_login_that_takes_for_ever_does_not_outlast_the_call(serve: Serve, dial: Dial) -> None:
    async def never(present: Token | None) -> Token:
        await asyncio.Event().wait()
        raise AssertionError

    vendor = await serve(answers(answer()))
    auth = TokenAuth(never, lambda token: {"Authorization": token}, now=lambda: NOW_S)
    with pytest.raises(TimedOut, match="no token in time"):
        await send(dial(vendor.url, auth=auth, timeouts=Timeouts(operation_s=0.05)).http, Retry.ONCE)
    assert vendor.connections == 0
    auth._start().cancel()


async def test_a_renewal_counts_among_the_attempts(serve: Serve, dial: Dial) -> None:
    tokens = Tokens("t2")
    vendor = await serve(in_turn(tokens.handler, answers(answer(status=503))))
    with pytest.raises(Unavailable):
        await send(dial(vendor.url, auth=tokens.auth).http, Retry.READ)
    assert len(vendor.received) == 3
