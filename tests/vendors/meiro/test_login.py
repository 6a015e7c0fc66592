"""Tokens: one login however many calls wait, refreshed before its end, and never shown."""

import asyncio
import logging
from typing import Any

import pytest

from adapters.auth import TokenAuth
from adapters.base import ListQuery, Page
from adapters.errors import CredentialsRejected, Rejected
from adapters.meiro.adapter import MeiroAdapter
from adapters.secrets import Secret
from audiencegateway.v1.destinations_pb2 import Destination
from gateway.settings import SettingsError, connection_in_plain_text
from tests.vendors.meiro.instance import FROZEN_AT_S, Meiro

LOGIN = "/api/users/login"
HOUR_S = 3600


def tokens(meiro: Meiro) -> list[str]:
    """Return the tokens that came with the calls, in their order."""
    return [entry["headers"]["X-Access-Token"] for entry in meiro.sandbox.journal if entry["path"] != LOGIN]


async def fifty_reads(adapter: MeiroAdapter) -> list[Page[Destination]]:
    """Read so often at once; each page is of another size, since the same read would be one call."""
    return await asyncio.gather(*(adapter.list_destinations(ListQuery(), "", size) for size in range(1, 51)))


async def refreshed(adapter: MeiroAdapter) -> None:
    """Wait for the login that is under way, if any."""
    assert isinstance(adapter.auth, TokenAuth)
    if adapter.auth._fetching:
        await asyncio.wait([adapter.auth._fetching])


async def test_fifty_calls_at_once_log_in_once(meiro: Meiro) -> None:
    adapter = meiro.log_in()
    await fifty_reads(adapter)
    assert meiro.requests(LOGIN) == [f"POST {LOGIN}"]
    assert len(tokens(meiro)) == 50
    assert len(set(tokens(meiro))) == 1


async def test_fifty_calls_whose_token_is_revoked_on_the_way_log_in_once_more(meiro: Meiro) -> None:
    adapter = meiro.log_in()
    await adapter.check_connection()
    (first,) = tokens(meiro)
    meiro.sandbox.journal.clear()
    meiro.sandbox.tokens.revoke(first)
    assert all(page.items for page in await fifty_reads(adapter))
    assert meiro.requests(LOGIN) == [f"POST {LOGIN}"]
    assert len(tokens(meiro)) == 100
    assert tokens(meiro).count(first) == 50


async def test_a_token_near_its_end_serves_on_while_it_is_refreshed(meiro: Meiro) -> None:
    adapter = meiro.log_in()
    await adapter.check_connection()
    meiro.sandbox.clock.advance(8 * HOUR_S - 301)
    await adapter.check_connection()
    assert meiro.requests(LOGIN) == [f"POST {LOGIN}"]
    meiro.sandbox.clock.advance(2)
    await adapter.check_connection()
    await refreshed(adapter)
    await adapter.check_connection()
    first, second, third, fourth = tokens(meiro)
    assert first == second == third != fourth
    assert meiro.requests(LOGIN) == [f"POST {LOGIN}", f"PATCH {LOGIN}"]


@pytest.mark.parametrize(
    ("after_h", "logins"),
    [(8, ["PATCH"]), (11.9, ["PATCH"]), (12.1, ["POST"]), (48, ["POST"])],
)
async def test_an_ended_token_is_refreshed_for_four_hours_and_then_replaced(
    meiro: Meiro, after_h: float, logins: list[str]
) -> None:
    adapter = meiro.log_in()
    await adapter.check_connection()
    meiro.sandbox.journal.clear()
    meiro.sandbox.clock.advance(after_h * HOUR_S)
    await adapter.check_connection()
    assert meiro.requests(LOGIN) == [f"{method} {LOGIN}" for method in logins]


async def test_a_refused_refresh_ends_in_a_login(meiro: Meiro) -> None:
    adapter = meiro.log_in()
    await adapter.check_connection()
    meiro.sandbox.tokens.revoke(*tokens(meiro))
    meiro.sandbox.clock.advance(9 * HOUR_S)
    await adapter.check_connection()
    assert meiro.requests(LOGIN) == [f"{method} {LOGIN}" for method in ("POST", "PATCH", "POST")]


async def test_a_login_is_tried_again_when_the_vendor_fails(meiro: Meiro) -> None:
    meiro.sandbox.fault(path="/users/login", status=503, count=2)
    await meiro.log_in().check_connection()
    assert meiro.requests(LOGIN) == [f"POST {LOGIN}"] * 3


async def test_wrong_credentials_are_named_and_not_remembered(meiro: Meiro) -> None:
    adapter = meiro.connect(email="operator@shop.example", password=Secret("wrong"))
    for _ in range(2):
        with pytest.raises(CredentialsRejected) as refused:
            await adapter.check_connection()
    assert refused.value.reason == "VENDOR_CREDENTIALS_REJECTED"
    assert refused.value.fault.message == "Invalid credentials have been provided"
    assert meiro.requests() == [f"POST {LOGIN}"] * 2


async def test_a_ready_token_that_is_refused_is_not_tried_twice(meiro: Meiro) -> None:
    with pytest.raises(CredentialsRejected):
        await meiro.connect(token=Secret("old")).check_connection()
    assert len(meiro.requests()) == 1


async def test_the_end_of_a_token_is_told_where_it_is_known(meiro: Meiro) -> None:
    response = await meiro.log_in().check_connection()
    assert response.credential_expire_time.seconds == FROZEN_AT_S + 8 * HOUR_S
    assert not (await meiro.connect().check_connection()).HasField("credential_expire_time")


@pytest.mark.parametrize("path", ["/users/login", "/segments/*"])
async def test_no_secret_shows_in_an_error_a_log_or_a_repr(
    meiro: Meiro, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    adapter = meiro.log_in()
    await adapter.check_connection()
    (token,) = tokens(meiro)
    secrets = [token, "sandbox-password", "operator@shop.example"]
    meiro.sandbox.clock.advance(13 * HOUR_S if "login" in path else 0)
    meiro.sandbox.fault(path=path, status=400, body={"message": f"no: {', '.join(secrets)}"})
    with caplog.at_level(logging.DEBUG), pytest.raises(Rejected) as refused:
        await adapter.check_connection()
    shown = f"{refused.value!r} {vars(refused.value)} {adapter.settings!r} {caplog.text}"
    assert "no: ***" in shown
    assert not [secret for secret in secrets if secret in shown.replace("email='operator@shop.example'", "")]


TOKEN, PASSWORD = {"token": "token"}, {"password": "password"}


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({}, "token, or email and password"),
        ({"email": "a@b.example"}, "token, or email and password"),
        (PASSWORD, "token, or email and password"),
        ({**TOKEN, **PASSWORD}, "token, or email and password"),
        ({**TOKEN, "email": "a@b.example", **PASSWORD}, "token, or email and password"),
        ({**PASSWORD, "email": ""}, "email: must be a text without blanks"),
        ({**TOKEN, "base_url": "acme.meiro.io/api"}, "base_url: must be an address"),
        ({"base_url": "acme.meiro.io/api"}, "token, or email and password"),
    ],
)
def test_settings_that_can_not_work_are_refused(settings: dict[str, Any], wrong: str) -> None:
    keys = {"id": "crm", "vendor": "meiro", "base_url": "https://acme.meiro.io/api/", **settings}
    with pytest.raises(SettingsError, match=wrong):
        connection_in_plain_text(keys)


async def test_the_account_is_the_instance(meiro: Meiro) -> None:
    assert meiro.connect().account == "127.0.0.1"
