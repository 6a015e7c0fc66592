"""What is sent is exactly what was declared, and what is answered is read for what it is."""

import asyncio
import time
from email.utils import formatdate

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from adapters import calls, errors
from adapters.auth import FixedAuth
from adapters.errors import Fault, InvalidRequest, ProtocolViolation, RateLimited, VendorError
from adapters.http import MAX_ANSWER_BYTES, MAX_VENDOR_MESSAGE_CHARS, Answer, Http, route
from adapters.policy import Policy
from adapters.retry import Retry, retry_after_s
from adapters.secrets import MASK, Secret
from tests.adapters.conftest import NOW_S, Dial, Serve
from tests.adapters.loopback import Vendor, answer, answers, half

ONCE_ONLY = Policy(attempts=1)


class Item(msgspec.Struct):
    """What the scripted vendor promises."""

    id: str
    sizes: list[int] = []


async def send(http: Http, retry: Retry = Retry.READ, method: str = "GET") -> Answer:
    return await http.send(method, "/x", retry=retry)


# --- The request ---------------------------------------------------------------------------------------------------


async def test_a_request_is_sent_as_it_was_declared(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer({"id": "1"})))
    line = dial(vendor.url + "/base/", auth=FixedAuth({"X-Key": "k"}), headers={"X-Org": "o", "Accept": "a/b"})
    item = await line.http.get(
        route("/v1/items/{}/of/{}", "a", "b"),
        Item,
        query=[("page[size]", "10"), ("q", "a b&c=d/é+%"), ("q", "")],
        headers={"Accept": "c/d"},
    )
    assert item == Item("1")
    [received] = vendor.received
    assert received.method == "GET"
    assert received.target == "/base/v1/items/a/of/b?page%5Bsize%5D=10&q=a%20b%26c%3Dd%2F%C3%A9%2B%25&q="
    assert dict(received.headers) == {
        "Host": vendor.url.removeprefix("http://"),
        "User-Agent": "audience-gateway",
        "Accept-Encoding": "identity",
        "X-Org": "o",
        "Accept": "c/d",
        "X-Key": "k",
    }
    assert received.body == b""


async def test_a_json_body_goes_with_its_type_and_its_length(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer()))
    line = dial(vendor.url)
    await line.http.send("POST", "x", retry=Retry.ONCE, json={"name": "é", "none": None})
    await line.http.send("PUT", "x", retry=Retry.IDEMPOTENT, json=None, headers={"Content-Type": "application/x+json"})
    post, put = vendor.received
    assert post.body == '{"name":"é","none":null}'.encode()
    assert post.headers["Content-Type"] == "application/json"
    assert post.headers["Content-Length"] == str(len(post.body))
    assert put.body == b"null"
    assert put.headers["Content-Type"] == "application/x+json"


@pytest.mark.parametrize("retry", Retry)
@pytest.mark.parametrize("body", [b"\x00\xff", b"1", b"", b"z" * 70_000, b"z" * 2_000_000], ids=len)
async def test_bytes_arrive_as_they_are_and_untyped(serve: Serve, dial: Dial, body: bytes, retry: Retry) -> None:
    vendor = await serve(answers(answer()))
    await dial(vendor.url).http.send("POST", "x", retry=retry, body=body)
    [received] = vendor.received
    assert received.body == body
    assert received.headers["Content-Length"] == str(len(body))
    assert "Content-Type" not in received.headers
    assert "Transfer-Encoding" not in received.headers


@pytest.mark.parametrize("retry", Retry)
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
async def test_a_write_without_a_body_claims_no_type(serve: Serve, dial: Dial, method: str, retry: Retry) -> None:
    vendor = await serve(answers(answer()))
    await dial(vendor.url).http.send(method, "x", retry=retry)
    [received] = vendor.received
    assert received.body == b""
    assert received.headers["Content-Length"] == "0"
    assert "Content-Type" not in received.headers


HOSTILE_IDS = {
    "../../admin": "..%2F..%2Fadmin",
    "a/b": "a%2Fb",
    "%2F": "%252F",
    "%2e%2e": "%252e%252e",
    "a?b=c": "a%3Fb%3Dc",
    "a#b": "a%23b",
    "a b\r\nX: y": "a%20b%0D%0AX%3A%20y",
    "\x00": "%00",
    "é;,": "%C3%A9%3B%2C",
    "{}{0}": "%7B%7D%7B0%7D",
    "...": "...",
    "~-_.": "~-_.",
}


@pytest.mark.parametrize(("hostile", "escaped"), HOSTILE_IDS.items(), ids=ascii)
async def test_an_id_stays_one_step_of_the_path(serve: Serve, dial: Dial, hostile: str, escaped: str) -> None:
    vendor = await serve(answers(answer({"id": "1"})))
    await dial(vendor.url).http.get(route("/v1/{}/{}", hostile, "z"), Item)
    assert vendor.received[0].target == f"/v1/{escaped}/z"


@pytest.mark.parametrize("step", ["", ".", ".."])
def test_an_id_that_a_server_takes_for_a_step_is_refused(step: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        route("/v1/{}", step)
    assert caught.value.reason == "INVALID_RESOURCE_NAME"


async def test_no_cookie_is_kept_and_an_encoded_answer_is_not_inflated(serve: Serve, dial: Dial) -> None:
    first = answer({"id": "1"}, headers={"Set-Cookie": "session=s; Path=/"})
    packed = answer({"id": "2"}, headers={"Content-Encoding": "gzip"})
    vendor = await serve(answers(first, packed))
    # By name: cookies of a bare address are not kept anyway.
    line = dial(vendor.url.replace("127.0.0.1", "localhost"))
    await line.http.get("x", Item)
    # As it came: a body that grows a thousandfold can't get round the limit.
    assert (await send(line.http)).body == b'{"id": "2"}'
    assert "Cookie" not in vendor.received[1].headers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("retry", Retry)
async def test_a_redirect_is_not_followed_and_no_credential_goes_elsewhere(
    serve: Serve, dial: Dial, status: int, retry: Retry
) -> None:
    elsewhere = await serve(answers(answer({"id": "stolen"})))
    vendor = await serve(answers(answer(status=status, headers={"Location": elsewhere.url + "/y"})))
    line = dial(vendor.url, auth=FixedAuth({"Authorization": "Bearer t"}))
    with pytest.raises(ProtocolViolation) as caught:
        await send(line.http, retry)
    assert caught.value.fault.http_status == status
    assert len(vendor.received) == 1
    assert elsewhere.connections == 0


# --- The answer ----------------------------------------------------------------------------------------------------


async def refused(vendor: Vendor, dial: Dial, resource: str = "") -> VendorError:
    """Return the error of one GET."""
    with pytest.raises(VendorError) as caught:
        await dial(vendor.url, policy=ONCE_ONLY).http.get("x", Item, resource=resource)
    return caught.value


async def test_a_page_instead_of_json_is_named_by_its_content_type(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(lambda: web.Response(text="<html>canary</html>", content_type="text/html")))
    error = await refused(vendor, dial)
    assert isinstance(error, ProtocolViolation)
    assert "200 (text/html" in error.message
    assert "canary" not in error.message
    assert error.fault.http_status == 200


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"id": "1', "truncated"),
        ("", "truncated"),
        ('{"id": 1}', "$.id"),
        ('{"id": "1", "sizes": [1, "2"]}', "$.sizes[1]"),
        ("null", "null"),
        ("[]", "array"),
        ("{}", "id"),
        ('{"id": "\udcff"}', "byte 0xff"),
        ("[" * 1_000_000, "array"),
        ('{"unknown": ' + "[" * 1_000_000, "recursion"),
        ('{"id": "1"} x', "trailing characters (byte 13)"),
    ],
    ids=range(11),
)
async def test_json_that_is_not_as_documented_is_named_by_its_place(
    serve: Serve, dial: Dial, text: str, place: str
) -> None:
    body = text.encode(errors="surrogateescape")
    error = await refused(await serve(answers(lambda: web.Response(body=body, content_type="application/json"))), dial)
    assert isinstance(error, ProtocolViolation)
    assert error.reason == "VENDOR_PROTOCOL"
    assert "(application/json)" in error.message
    assert place.lower() in error.message.lower()
    assert (error.vendor, error.connection) == ("acme", "main")


async def test_an_endless_answer_is_refused_without_being_read_whole(serve: Serve, dial: Dial) -> None:
    given_bytes = 0

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal given_bytes
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 1_000_000)
            given_bytes += 1_000_000

    vendor = await serve(endless)
    error = await refused(vendor, dial)
    assert isinstance(error, ProtocolViolation)
    assert str(MAX_ANSWER_BYTES) in error.message
    async with asyncio.timeout(5):
        await vendor.handler_gone.wait()
    assert given_bytes < 2 * MAX_ANSWER_BYTES


async def test_an_answer_just_within_the_limit_is_read(serve: Serve, dial: Dial) -> None:
    text = '{"id": "1"}'.rjust(MAX_ANSWER_BYTES)
    vendor = await serve(answers(lambda: web.Response(text=text)))
    assert await dial(vendor.url).http.get("x", Item) == Item("1")


@pytest.mark.parametrize("retry", Retry)
async def test_a_refusal_with_an_endless_body_is_still_that_refusal(serve: Serve, dial: Dial, retry: Retry) -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(status=429, headers={"Retry-After": "7"})
        await response.prepare(request)
        while True:
            await response.write(b"x" * 4_000_000)

    vendor = await serve(endless)
    with pytest.raises(RateLimited) as caught:
        await send(dial(vendor.url, policy=ONCE_ONLY).http, retry, "POST")
    assert caught.value.retry_after_s == 7.0


@pytest.mark.parametrize("retry", Retry)
@pytest.mark.parametrize(("status", "kind"), [(400, errors.Rejected), (409, errors.Conflict), (429, RateLimited)])
async def test_a_refusal_that_breaks_off_is_still_that_refusal(
    serve: Serve, dial: Dial, status: int, kind: type[VendorError], retry: Retry
) -> None:
    vendor = await serve(half(status))
    with pytest.raises(kind):
        await send(dial(vendor.url, policy=ONCE_ONLY).http, retry, "POST")


# --- The error table, typed from the contract ----------------------------------------------------------------------

FAILING = (408, *range(500, 600))
CLIENT_SIDE: dict[int, type[VendorError]] = dict.fromkeys(range(400, 500), errors.Rejected) | {
    401: errors.CredentialsRejected,
    403: errors.PermissionMissing,
    404: errors.NotFound,
    409: errors.Conflict,
    410: errors.NotFound,
    412: errors.VendorEtagMismatch,
    413: errors.TooLarge,
    425: errors.RateLimited,
    429: errors.RateLimited,
}
# 501 says that asking again is of no use, so it is no failure of the moment.
SAFE = CLIENT_SIDE | dict.fromkeys(FAILING, errors.Unavailable) | {501: errors.Rejected}
UNSAFE = CLIENT_SIDE | dict.fromkeys(FAILING, errors.OutcomeUnknown) | {501: errors.Rejected}
REASONS = {
    errors.Rejected: "REJECTED_BY_VENDOR",
    errors.CredentialsRejected: "VENDOR_CREDENTIALS_REJECTED",
    errors.PermissionMissing: "VENDOR_PERMISSION_MISSING",
    errors.NotFound: "DESTINATION_NOT_FOUND",
    errors.Conflict: "VENDOR_CONFLICT",
    errors.VendorEtagMismatch: "ETAG_MISMATCH",
    errors.TooLarge: "LIMIT_EXCEEDED",
    errors.RateLimited: "VENDOR_RATE_LIMITED",
    errors.Unavailable: "VENDOR_UNAVAILABLE",
    errors.OutcomeUnknown: "OUTCOME_UNKNOWN",
}


@pytest.mark.parametrize("retry", Retry)
async def test_every_status_is_the_error_that_the_contract_says(serve: Serve, dial: Dial, retry: Retry) -> None:
    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=int(request.path[1:]))

    line = dial((await serve(echo)).url, policy=ONCE_ONLY)
    found: dict[int, type[VendorError]] = {}
    for status in range(400, 600):
        line.transport.reset()
        with pytest.raises(VendorError) as caught:
            await line.http.send("POST", str(status), retry=retry)
        found[status] = type(caught.value)
        assert caught.value.reason == REASONS[found[status]]
        assert caught.value.fault.http_status == status
        assert (caught.value.vendor, caught.value.connection) == ("acme", "main")
    assert found == (UNSAFE if retry is Retry.ONCE else SAFE)


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        ("connections/main", "CONNECTION_NOT_FOUND"),
        ("connections/main/destinations/1", "DESTINATION_NOT_FOUND"),
        ("connections/main/destinations/1/subscriptions/2", "SUBSCRIPTION_NOT_FOUND"),
        ("connections/main/exportJobs/1", "EXPORT_JOB_NOT_FOUND"),
        ("connections/main/exportJobs/1/revisions/2", "REVISION_NOT_FOUND"),
    ],
)
async def test_what_is_not_found_is_named_by_its_kind(
    serve: Serve, dial: Dial, status: int, resource: str, reason: str
) -> None:
    error = await refused(await serve(answers(answer({"code": "gone"}, status=status))), dial, resource=resource)
    assert isinstance(error, errors.NotFound)
    assert (error.reason, error.resource) == (reason, resource)
    assert (error.fault.http_status, error.fault.code) == (status, "gone")


async def test_a_conflict_stands_for_what_the_call_says(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer(status=409)))
    with pytest.raises(errors.Conflict) as caught:
        await dial(vendor.url).http.send("POST", "x", retry=Retry.ONCE, conflict="DESTINATION_ALREADY_EXISTS")
    assert caught.value.reason == "DESTINATION_ALREADY_EXISTS"


async def test_the_vendors_own_reading_goes_before_the_status_line(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer(status=409)))
    line = dial(vendor.url, read_fault=lambda *_: Fault(kind=errors.RateLimited), policy=ONCE_ONLY)
    with pytest.raises(RateLimited) as caught:
        await line.http.send("POST", "x", retry=Retry.READ, conflict="DESTINATION_ALREADY_EXISTS")
    assert caught.value.reason == "VENDOR_RATE_LIMITED"


async def test_a_refusal_that_the_vendors_reader_can_not_read_is_told_by_its_status(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(lambda: web.Response(status=403, text="<html>", content_type="text/html")))
    line = dial(vendor.url, read_fault=lambda *said: msgspec.json.decode(said[2], type=Fault))
    with pytest.raises(errors.PermissionMissing) as caught:
        await line.http.send("GET", "x", retry=Retry.READ, permission="segments:read")
    assert caught.value.fault == Fault(http_status=403)
    assert caught.value.metadata == {"permission": "segments:read"}


# --- What the vendor says of it ------------------------------------------------------------------------------------


async def test_an_error_carries_what_the_vendor_said(serve: Serve, dial: Dial) -> None:
    said = {"code": "E7", "message": "no such field", "request_id": "r-1", "fields": [["a.b", "is wrong"]]}
    error = await refused(await serve(answers(answer(said, status=422))), dial)
    assert error.fault == Fault(
        http_status=422, code="E7", message="no such field", request_id="r-1", fields=(("a.b", "is wrong"),)
    )
    assert "no such field" not in error.message


async def test_no_secret_and_no_address_shows_in_what_the_vendor_said(serve: Serve, dial: Dial) -> None:
    text = (
        "token tk-c4n4ry of jane.c4n4ry@mail.example refused: Authorization: Bearer c4n4ry.abc,"
        " GET /x?a=1&api_key=c4n4ry, p%2Fc4n4ry"
    )
    said = {"message": text, "fields": [["user", text]]}
    vendor = await serve(answers(answer(said, status=400)))
    auth = FixedAuth({"Authorization": "Bearer tk-c4n4ry"}, Secret("tk-c4n4ry"), Secret("p/c4n4ry"))
    with pytest.raises(errors.Rejected) as caught:
        await dial(vendor.url, auth=auth).http.get("x", Item)
    error = caught.value
    assert "c4n4ry" not in f"{error} {error!r} {error.fault} {error.metadata}"
    assert MASK in error.fault.message
    assert MASK in error.fault.fields[0][1]


async def test_what_the_vendor_said_is_cut(serve: Serve, dial: Dial) -> None:
    said = {"code": "c" * 999, "message": "no " * 999, "request_id": "r" * 999, "fields": [["f", "no " * 999]]}
    fault = (await refused(await serve(answers(answer(said, status=400))), dial)).fault
    assert [len(text) for text in (fault.code, fault.message, fault.request_id, fault.fields[0][1])] == [256] * 4
    assert MAX_VENDOR_MESSAGE_CHARS == 256


async def test_no_header_of_the_vendor_can_make_the_message_long(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(lambda: web.Response(text="x", headers={"Content-Type": "text/" + "x" * 4000})))
    assert len((await refused(vendor, dial)).message) < 500


# --- Retry-After ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        (formatdate(NOW_S + 90, usegmt=True), 90.0),
        (formatdate(NOW_S - 90, usegmt=True), 0.0),
        (formatdate(NOW_S + 90, localtime=False), 90.0),
        ("Tue, 14 Nov 2023 22:14:50", 90.0),
        ("Tuesday, 14-Nov-23 22:14:50 GMT", 90.0),
        ("Tue Nov 14 22:14:50 2023", 90.0),
        ("-5", None),
        ("", None),
        ("soon", None),
        ("1e3", None),
        ("1e999", None),
        ("nan", None),
        ("inf", None),
        ("5_0", None),
        ("\u00b2", None),
        ("\u0663", None),
        ("9" * 400, None),
        ("Tue, 14 Nov 99999999999999999999 22:14:50 GMT", None),
        ("Tue, 99 Nov 2023 22:14:50 GMT", None),
        ("Tue, 14 Nov 2023 22:14:50 +9999999999", None),
    ],
    ids=ascii,
)
def test_a_wait_is_read_for_what_it_says_or_not_at_all(text: str, wait_s: float | None) -> None:
    assert retry_after_s({"Retry-After": text}, NOW_S) == wait_s


def test_a_date_without_a_zone_is_not_that_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert retry_after_s({"Retry-After": "Tue, 14 Nov 2023 22:14:50"}, NOW_S) == 90.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_without_the_header_there_is_no_wait() -> None:
    assert retry_after_s({}, NOW_S) is None


@given(st.text(max_size=40) | st.from_regex(r"[A-Z][a-z]{2}, [0-9-]{1,9} Nov [0-9]{1,25} [0-9:.]{5,12} [-+A-Z0-9]*"))
def test_no_text_makes_a_wait_that_is_below_nothing_or_without_end(text: str) -> None:
    wait_s = retry_after_s({"Retry-After": text}, NOW_S)
    assert wait_s is None or 0 <= wait_s < 1e12


async def test_the_vendors_own_reading_of_a_wait_goes_before_the_header(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer({"retry_after_s": 3}, status=429, headers={"Retry-After": "9"})))
    error = await refused(vendor, dial)
    assert error.retry_after_s == error.fault.retry_after_s == 3.0


@pytest.mark.parametrize(("polling", "asked_s"), [(True, 7.0), (False, 0.0)])
async def test_what_only_looks_learns_when_it_is_worth_to_look_again(
    serve: Serve, dial: Dial, polling: bool, asked_s: float
) -> None:
    vendor = await serve(answers(answer(headers={"Retry-After": "7"}), answer()))
    http = dial(vendor.url).http
    with calls.serving(calls.Call(polling=polling)) as call:
        await send(http)
        await http.send("GET", "/y", retry=Retry.READ)
    assert call.ask_again_s == asked_s


async def test_no_wait_of_a_good_answer_is_believed_for_ever(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer(headers={"Retry-After": "86400"})))
    with calls.serving(calls.Call(polling=True)) as call:
        await send(dial(vendor.url).http)
    assert call.ask_again_s == Policy().retry_after_max_s
