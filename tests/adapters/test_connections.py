"""Over which connection a call goes, how often the vendor receives it, and with which credentials."""

import asyncio
import inspect
from collections.abc import Mapping

import aiohttp
import pytest
from aiohttp import web

from adapters import calls
from adapters.auth import FixedAuth, Token, TokenAuth
from adapters.calls import Call
from adapters.errors import CredentialsRejected, TimedOut, Unavailable
from adapters.policy import Policy
from adapters.retry import Retry
from adapters.secrets import Secret
from adapters.transport import Timeouts
from tests.adapters.conftest import NOW_S, Dial, Serve
from tests.adapters.loopback import Handler, answer, answers, in_turn, send

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
    line = dial(vendor.url, policy=Policy(attempts=1))
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
