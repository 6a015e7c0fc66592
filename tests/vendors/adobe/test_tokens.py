"""Tokens: one however many calls wait, renewed before its end and after a refusal, and never shown."""

import asyncio
import logging
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from adapters.adobe.adapter import AdobeAdapter, AdobeSettings
from adapters.base import ListQuery, Page
from adapters.errors import CredentialsRejected, PermissionMissing, ProtocolViolation, Rejected, VendorError
from adapters.secrets import Secret
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway.settings import SettingsError, connection_in_plain_text
from tests.vendors.adobe.instance import FROZEN_AT_S, JOBS, LOGIN, NEWSLETTER, SEGMENT, Adobe

DAY_S = 86399
REFUSALS = {"401013": (401, "Oauth token is not valid"), "403010": (403, "Oauth token is missing.")}


def tokens(adobe: Adobe) -> list[str]:
    """Return the tokens that came with the calls, in their order."""
    return [entry["headers"]["Authorization"].removeprefix("Bearer ") for entry in adobe.calls]


async def fifty_reads(adapter: AdobeAdapter) -> list[Page[Destination]]:
    """Read so often at once; each page is of another size, since the same read would be one call."""
    return await asyncio.gather(*(adapter.list_destinations(ListQuery(), "", size) for size in range(1, 51)))


async def renewed(adapter: AdobeAdapter) -> None:
    """Wait for the token that is being fetched, if any."""
    if adapter.auth._fetching:
        await asyncio.wait([adapter.auth._fetching])


async def test_fifty_calls_at_once_fetch_one_token(adobe: Adobe, adapter: AdobeAdapter) -> None:
    await fifty_reads(adapter)
    assert adobe.logins() == 1
    assert len(tokens(adobe)) >= 50
    assert len(set(tokens(adobe))) == 1


async def test_fifty_calls_whose_token_is_revoked_on_the_way_fetch_one_more(
    adobe: Adobe, adapter: AdobeAdapter
) -> None:
    await adapter.check_connection()
    (first,) = tokens(adobe)
    adobe.sandbox.journal.clear()
    adobe.sandbox.tokens.revoke(first)
    assert all(page.items for page in await fifty_reads(adapter))
    assert adobe.logins() == 1
    assert tokens(adobe).count(first) == 50
    assert len(set(tokens(adobe))) == 2


@pytest.mark.parametrize("code", REFUSALS)
async def test_fifty_refusals_of_either_kind_fetch_one_more_token(
    adobe: Adobe, adapter: AdobeAdapter, code: str
) -> None:
    await adapter.check_connection()
    adobe.sandbox.journal.clear()
    status, message = REFUSALS[code]
    adobe.sandbox.fault(path="*", status=status, body={"error_code": code, "message": message}, count=50)
    assert all(page.items for page in await fifty_reads(adapter))
    assert adobe.logins() == 1


@pytest.mark.parametrize("code", REFUSALS)
async def test_a_start_that_is_refused_for_its_token_is_sent_once_more(
    adobe: Adobe, adapter: AdobeAdapter, code: str
) -> None:
    status, message = REFUSALS[code]
    adobe.sandbox.fault(path=JOBS, method="POST", status=status, body={"error_code": code, "message": message})
    job = {"destination": f"connections/cdp/destinations/{NEWSLETTER}", "audiences": [{"audience_id": SEGMENT}]}
    await adapter.create_export_job(ParseDict(job, ExportJob()), marker="", validate_only=False)
    assert adobe.requests() == [f"POST {JOBS}"] * 2
    assert adobe.logins() == 2


@pytest.mark.parametrize(
    ("code", "status", "kind", "logins"),
    [
        ("401013", 401, CredentialsRejected, 2),
        ("403010", 403, CredentialsRejected, 2),
        ("403000", 403, CredentialsRejected, 2),
        ("403003", 403, CredentialsRejected, 2),
        ("403025", 403, PermissionMissing, 1),
        ("403027", 403, PermissionMissing, 1),
        ("400003", 400, Rejected, 1),
    ],
)
async def test_a_refusal_that_lasts_is_named_after_one_renewal(
    adobe: Adobe, adapter: AdobeAdapter, *, code: str, status: int, kind: type[VendorError], logins: int
) -> None:
    adobe.sandbox.fault(path=JOBS, status=status, body={"error_code": code, "message": "No"}, count=0)
    with pytest.raises(kind) as refused:
        await adapter.check_connection()
    assert (refused.value.fault.code, refused.value.fault.message) == (code, "No")
    assert adobe.logins() == logins


async def test_a_token_near_its_end_serves_on_while_the_next_is_fetched(adobe: Adobe, adapter: AdobeAdapter) -> None:
    await adapter.check_connection()
    adobe.sandbox.clock.advance(DAY_S - 301)
    await adapter.check_connection()
    assert adobe.logins() == 1
    adobe.sandbox.clock.advance(2)
    await adapter.check_connection()
    await renewed(adapter)
    await adapter.check_connection()
    first, second, third, fourth = tokens(adobe)
    assert first == second == third != fourth
    assert adobe.logins() == 2


async def test_fifty_calls_after_the_end_of_a_token_fetch_one(adobe: Adobe, adapter: AdobeAdapter) -> None:
    await adapter.check_connection()
    adobe.sandbox.clock.advance(DAY_S + 1)
    await fifty_reads(adapter)
    assert adobe.logins() == 2
    assert all(entry["status"] == 200 for entry in adobe.sandbox.journal)


async def test_a_life_in_milliseconds_is_not_believed_for_years(adobe: Adobe, adapter: AdobeAdapter) -> None:
    adobe.sandbox.set_switches(expires_in="milliseconds")
    response = await adapter.check_connection()
    assert response.credential_expire_time.seconds == FROZEN_AT_S + DAY_S
    adobe.sandbox.clock.advance(DAY_S + 1)
    await adapter.check_connection()
    assert adobe.logins() == 2
    assert all(entry["status"] == 200 for entry in adobe.sandbox.journal)


async def test_a_short_life_is_used_to_its_half(adobe: Adobe, adapter: AdobeAdapter) -> None:
    adobe.sandbox.set_switches(token_lifetime_s=60)
    for advance_s, logins in ((0, 1), (29, 1), (32, 2)):
        adobe.sandbox.clock.advance(advance_s)
        await adapter.check_connection()
        await renewed(adapter)
        assert adobe.logins() == logins


@pytest.mark.parametrize("status", [401, 400])
@pytest.mark.parametrize("wrong", [{"client_secret": "wrong"}, {"client_id": "wrong"}], ids=str)
async def test_a_refused_client_is_about_credentials_and_not_remembered(
    adobe: Adobe, status: int, wrong: dict[str, Any]
) -> None:
    adobe.sandbox.set_switches(invalid_client_status=status)
    adapter = adobe.connect(**wrong)
    for _ in range(2):
        with pytest.raises(CredentialsRejected) as refused:
            await adapter.check_connection()
    assert refused.value.reason == "VENDOR_CREDENTIALS_REJECTED"
    assert refused.value.fault.code == "invalid_client"
    assert adobe.logins() == 2
    assert not adobe.calls


async def test_a_scope_that_is_not_there_is_about_credentials_too(adobe: Adobe) -> None:
    with pytest.raises(CredentialsRejected) as refused:
        await adobe.connect(scope="openid,everything").check_connection()
    assert refused.value.fault.code == "invalid_scope"


async def test_a_token_is_asked_for_again_when_the_service_fails(adobe: Adobe, adapter: AdobeAdapter) -> None:
    adobe.sandbox.fault(path="/token/v3", status=503, count=2)
    await adapter.check_connection()
    assert adobe.logins() == 3


@pytest.mark.parametrize(
    "body", [{}, {"access_token": "x"}, {"access_token": None, "expires_in": 1}, "<html></html>"], ids=str
)
async def test_an_answer_without_a_token_is_an_error(adobe: Adobe, adapter: AdobeAdapter, body: object) -> None:
    adobe.sandbox.fault(path="/token/v3", body=body)
    with pytest.raises(ProtocolViolation):
        await adapter.check_connection()


async def test_the_end_of_the_token_is_told(adapter: AdobeAdapter) -> None:
    response = await adapter.check_connection()
    assert response.credential_expire_time.seconds == FROZEN_AT_S + DAY_S


@pytest.mark.parametrize("path", ["/token/v3", "/export/jobs"])
async def test_no_secret_shows_in_an_error_a_log_or_a_repr(
    adobe: Adobe, adapter: AdobeAdapter, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    await adapter.check_connection()
    secrets = [*tokens(adobe), "sandbox-client-secret"]
    adobe.sandbox.clock.advance(DAY_S + 1 if "token" in path else 0)
    adobe.sandbox.fault(path=path, status=400, body={"message": f"no: {', '.join(secrets)}"})
    with caplog.at_level(logging.DEBUG), pytest.raises(VendorError) as refused:
        await adapter.check_connection()
    shown = f"{refused.value!r} {vars(refused.value)} {adapter.settings!r} {caplog.text}"
    assert "no: ***" in shown
    assert not [secret for secret in secrets if secret in shown]


GIVEN: dict[str, Any] = {
    "client_id": "id",
    "client_secret": Secret("secret"),
    "organization": "1BD6382559DF0C130A49422D@AdobeOrg",
    "sandbox": "prod",
}


def test_the_addresses_are_adobes_own_unless_told_otherwise() -> None:
    settings = AdobeSettings(**GIVEN)
    assert settings.ups_url == "https://platform.adobe.io/data/core/ups"
    assert settings.catalog_url == "https://platform.adobe.io/data/foundation/catalog"
    assert settings.ims_url + LOGIN.removeprefix("/ims") == "https://ims-na1.adobelogin.com/ims/token/v3"


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"ups_url": "platform.adobe.io/data/core/ups"}, "ups_url"),
        ({"catalog_url": "ftp://platform.adobe.io/"}, "catalog_url"),
        ({"ims_url": "https://ims-na1.adobelogin.com/ims?x=1"}, "ims_url"),
        ({"client_id": ""}, "client_id"),
        ({"organization": "Acme Inc"}, "organization"),
        ({"organization": "a\nb"}, "organization"),
        ({"scope": "openid, session"}, "scope"),
        ({"sandbox": "Prod"}, "sandbox"),
        ({"sandbox": ""}, "sandbox"),
    ],
    ids=str,
)
def test_settings_that_can_not_work_are_refused(settings: dict[str, Any], wrong: str) -> None:
    keys = {"id": "cdp", "vendor": "adobe", **GIVEN, "client_secret": "secret", **settings}
    with pytest.raises(SettingsError, match=f"{wrong}: must be"):
        connection_in_plain_text(keys)


async def test_the_account_is_the_sandbox_of_the_organization(adapter: AdobeAdapter) -> None:
    assert adapter.account == "EXAMPLE00000000000000000@AdobeOrg/prod"
