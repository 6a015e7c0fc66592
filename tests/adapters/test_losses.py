"""What is said, and what is sent again, when no answer comes: it follows from what is certain."""

import asyncio
import socket
import ssl

import psutil
import pytest
import trustme
from aiohttp import web

from adapters import calls, errors
from adapters.auth import FixedAuth
from adapters.calls import Call
from adapters.errors import RateLimited, TimedOut, Unavailable, VendorError
from adapters.policy import Policy
from adapters.retry import Retry
from adapters.transport import Timeouts
from tests.adapters.conftest import Dial, Serve
from tests.adapters.loopback import Handler, answer, answers, drop, half, in_turn, send, silence

SENT = {Retry.READ: 3, Retry.IDEMPOTENT: 3, Retry.ONCE: 1}
BRIEF = Timeouts(operation_s=5.0, attempt_s=0.05, connect_s=0.05, idle_s=0.05)

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
    line.transport.reset()
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
        await send(dial(vendor.url, policy=Policy(attempts=1)).http, retry, body=BIG)
    assert type(caught.value) is kind
    assert caught.value.fault.code == "early"


async def test_an_upload_that_is_not_taken_ends_after_the_idle_time(serve: Serve, dial: Dial) -> None:
    vendor = await serve(silence, read=False)
    line = dial(vendor.url, timeouts=Timeouts(idle_s=0.05), policy=Policy(attempts=1))
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
    line = dial(vendor.url, timeouts=Timeouts(idle_s=0.1), policy=Policy(attempts=1))
    with pytest.raises(kind):
        await send(line.http, retry, body=BIG)
    assert [len(received.body) for received in vendor.received] == [len(BIG)]
