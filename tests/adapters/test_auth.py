"""Credentials: fetched once however many wait, kept until shortly before their end, never shown."""

import asyncio
import logging
from collections.abc import Callable, Mapping

import pytest

from adapters import calls
from adapters.auth import PAUSE_S, FixedAuth, Token, TokenAuth
from adapters.calls import Call
from adapters.errors import CredentialsRejected, Unavailable
from adapters.secrets import Secret

NOW_S = 1_700_000_000.0
LIFE_S = 3600.0
MARGIN_S = 300.0


class Login:
    """A vendor's login: each fetch waits for the gate, then gives `token-1`, `token-2`, … or fails."""

    def __init__(self) -> None:
        self.now_s = NOW_S
        self.life_s = LIFE_S
        self.fetches = 0
        self.before: list[Token | None] = []
        self.deadlines: list[float | None] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Callable[[], Exception] | None = None
        self.auth = TokenAuth(
            self.fetch, self.headers, Secret("client-secret"), now=lambda: self.now_s, margin_s=MARGIN_S
        )

    async def fetch(self, present: Token | None) -> Token:
        self.fetches += 1
        number = self.fetches
        self.before.append(present)
        self.deadlines.append(calls.current().deadline)
        await self.gate.wait()
        if self.failure:
            raise self.failure()
        return Token(Secret(f"token-{number}"), self.now_s + self.life_s)

    @staticmethod
    def headers(token: str) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {token}"}

    async def settled(self) -> None:
        """Let what runs in the background come to its end."""
        for _ in range(5):
            await asyncio.sleep(0)


def bearer(number: int) -> dict[str, str]:
    return {"Authorization": f"Bearer token-{number}"}


@pytest.fixture
async def login() -> Login:
    return Login()


async def test_fixed_headers_stay_and_have_nothing_to_renew() -> None:
    auth = FixedAuth({"X-Key": "k"}, Secret("k"))
    headers = await auth.headers()
    assert headers == {"X-Key": "k"}
    assert not await auth.renew(headers)
    assert await auth.headers() == {"X-Key": "k"}
    assert auth.secrets() == (Secret("k"),)


async def test_a_token_is_fetched_when_first_needed_and_kept(login: Login) -> None:
    assert login.auth.expires_at_s is None
    assert login.fetches == 0
    for _ in range(3):
        assert await login.auth.headers() == bearer(1)
    assert login.fetches == 1
    assert login.before == [None]
    assert login.auth.expires_at_s == NOW_S + LIFE_S


async def test_fifty_calls_that_wait_for_a_token_fetch_it_once(login: Login) -> None:
    login.gate.clear()
    waiting = [asyncio.create_task(login.auth.headers()) for _ in range(50)]
    await login.settled()
    login.gate.set()
    assert await asyncio.gather(*waiting) == [bearer(1)] * 50
    assert login.fetches == 1


async def test_a_failing_fetch_reaches_all_who_wait_and_is_not_remembered(login: Login) -> None:
    login.failure = lambda: Unavailable("no login")
    results = await asyncio.gather(*(login.auth.headers() for _ in range(50)), return_exceptions=True)
    assert {type(result) for result in results} == {Unavailable}
    assert login.fetches == 1
    login.failure = None
    assert await login.auth.headers() == bearer(2)


async def test_a_token_near_its_end_serves_while_the_next_is_fetched(login: Login) -> None:
    await login.auth.headers()
    login.gate.clear()
    login.now_s += LIFE_S - MARGIN_S - 1
    assert await login.auth.headers() == bearer(1)
    assert login.fetches == 1
    login.now_s += 1
    for _ in range(5):
        assert await login.auth.headers() == bearer(1)
    await login.settled()
    assert login.fetches == 2
    assert login.before[1] == Token(Secret("token-1"), NOW_S + LIFE_S)
    login.gate.set()
    await login.settled()
    assert await login.auth.headers() == bearer(2)
    assert login.fetches == 2


async def test_a_fetch_that_fails_in_the_background_is_tried_again_after_a_pause_that_doubles(login: Login) -> None:
    await login.auth.headers()
    login.failure = lambda: Unavailable("no login")
    login.now_s += LIFE_S - MARGIN_S
    tried_at_s: list[float] = []
    begun_s = login.now_s
    while login.now_s < begun_s + MARGIN_S:
        fetches = login.fetches
        for _ in range(3):
            assert await login.auth.headers() == bearer(1)
            await login.settled()
        tried_at_s += [login.now_s - begun_s] * (login.fetches - fetches)
        login.now_s += 1.0
    assert tried_at_s == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0, 123.0, 183.0, 243.0]


async def test_a_token_that_has_ended_is_fetched_at_once_however_often_that_failed(login: Login) -> None:
    await login.auth.headers()
    login.failure = lambda: Unavailable("no login")
    login.now_s += LIFE_S - 1.0
    await login.auth.headers()
    await login.settled()
    login.now_s += 1.0
    for fetches in (3, 4):
        with pytest.raises(Unavailable):
            await login.auth.headers()
        assert login.fetches == fetches
    login.failure = None
    assert await login.auth.headers() == bearer(5)
    # And the next failure is a first one again.
    login.failure = lambda: Unavailable("no login")
    login.now_s += LIFE_S - MARGIN_S
    for after_s in (0.0, 1.0):
        login.now_s += after_s
        await login.auth.headers()
        await login.settled()
    assert login.fetches == 7


async def test_a_fetch_that_fails_in_the_background_disturbs_nobody_while_the_token_serves(login: Login) -> None:
    await login.auth.headers()
    login.failure = lambda: CredentialsRejected("no")
    login.now_s += LIFE_S - 1
    assert await login.auth.headers() == bearer(1)
    await login.settled()
    assert login.fetches == 2
    login.now_s += 1
    with pytest.raises(CredentialsRejected):
        await login.auth.headers()


async def test_an_ended_token_never_serves_again(login: Login) -> None:
    await login.auth.headers()
    login.now_s += LIFE_S
    assert await login.auth.headers() == bearer(2)


async def test_a_token_that_lives_shorter_than_the_margin_is_not_fetched_for_every_call(login: Login) -> None:
    login.life_s = 60.0
    for _ in range(10):
        assert await login.auth.headers() == bearer(1)
        await login.settled()
    assert login.fetches == 1
    login.now_s += 30.0
    assert await login.auth.headers() == bearer(1)
    await login.settled()
    assert login.fetches == 2


async def test_a_waiter_that_leaves_takes_nothing_from_the_others(login: Login) -> None:
    login.gate.clear()
    first, second = (asyncio.create_task(login.auth.headers()) for _ in range(2))
    await login.settled()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    login.gate.set()
    assert await second == bearer(1)
    assert login.fetches == 1


async def test_a_token_is_fetched_to_the_end_though_nobody_waits_any_more(login: Login) -> None:
    login.gate.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await login.auth.headers()
    login.gate.set()
    await login.settled()
    assert await login.auth.headers() == bearer(1)
    assert login.fetches == 1


async def test_no_callers_deadline_is_the_fetchs(login: Login) -> None:
    with calls.serving(Call(deadline=1.0)):
        await login.auth.headers()
    assert login.deadlines == [None]


async def test_fifty_calls_that_are_refused_at_once_renew_once(login: Login) -> None:
    refused = await login.auth.headers()
    login.gate.clear()
    renewing = [asyncio.create_task(login.auth.renew(refused)) for _ in range(50)]
    await login.settled()
    login.gate.set()
    assert await asyncio.gather(*renewing) == [True] * 50
    assert login.fetches == 2
    assert await login.auth.headers() == bearer(2)


async def test_a_late_refusal_of_an_older_token_fetches_nothing(login: Login) -> None:
    refused = await login.auth.headers()
    assert await login.auth.renew(refused)
    assert await login.auth.renew(refused)
    assert login.fetches == 2


async def test_a_renewal_that_fails_says_so_and_is_tried_again_at_once_unless_it_was_refused(login: Login) -> None:
    refused = await login.auth.headers()
    for failure in (Unavailable, CredentialsRejected):
        login.failure = lambda failure=failure: failure("no")
        with pytest.raises(failure):
            await login.auth.renew(refused)
    login.failure = None
    assert not await login.auth.renew(refused)
    login.now_s += PAUSE_S
    assert await login.auth.renew(refused)
    assert await login.auth.headers() == bearer(4)


async def test_a_vendor_that_refuses_every_token_is_asked_for_one_in_a_second_at_most(login: Login) -> None:
    begun_s = login.now_s
    for _ in range(40):
        await login.auth.renew(await login.auth.headers())
        login.now_s += PAUSE_S / 4
    assert login.fetches <= 1 + (login.now_s - begun_s) / PAUSE_S
    # A clock that was set back takes nothing from that.
    login.now_s -= LIFE_S
    assert await login.auth.renew(await login.auth.headers())


async def test_who_is_refused_while_a_new_token_comes_waits_for_it_however_recent_the_last(login: Login) -> None:
    login.life_s = PAUSE_S
    assert await login.auth.renew(await login.auth.headers())
    login.gate.clear()
    login.now_s += PAUSE_S / 2
    refused = await login.auth.headers()
    assert refused == bearer(2)
    renewing = asyncio.create_task(login.auth.renew(refused))
    await login.settled()
    login.gate.set()
    assert await renewing
    assert await login.auth.headers() == bearer(3)


async def test_what_must_not_show_is_the_credentials_and_both_tokens_under_way(login: Login) -> None:
    assert login.auth.secrets() == (Secret("client-secret"),)
    refused = await login.auth.headers()
    assert set(login.auth.secrets()) == {Secret("client-secret"), Secret("token-1")}
    await login.auth.renew(refused)
    assert set(login.auth.secrets()) == {Secret("client-secret"), Secret("token-1"), Secret("token-2")}
    login.now_s += PAUSE_S
    await login.auth.renew(await login.auth.headers())
    assert set(login.auth.secrets()) == {Secret("client-secret"), Secret("token-2"), Secret("token-3")}


async def test_no_token_shows_in_a_text_or_the_log(login: Login, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await login.auth.headers()
    login.failure = lambda: Unavailable("token-1 was not renewed")
    login.now_s += LIFE_S - 1
    await login.auth.headers()
    await login.settled()
    shown = f"{login.auth!r} {login.before[1]!r} {login.auth.secrets()!r} {FixedAuth(bearer(1))!r} {caplog.text}"
    assert "not renewed" in caplog.text
    assert "token-1" not in shown
    assert "client-secret" not in shown
