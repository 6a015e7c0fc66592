"""Datasets and error answers between Adobe's JSON and the contract: samples, odd answers, and rules for all inputs."""

import json
from typing import Any

import msgspec
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given
from hypothesis import strategies as st

from adapters.adobe import translate, wire
from adapters.errors import CredentialsRejected, InvalidRequest, RateLimited, VendorError
from adapters.extras import keep
from adapters.wellknown import plain
from audiencegateway.v1.destinations_pb2 import Destination
from tests.vendors.adobe.samples import DATASET

UNION = "https://ns.adobe.com/xdm/context/profile__union"
ID = "5b020a27e7040801dedbf46e"


def dataset(**changes: Any) -> wire.Dataset:
    return msgspec.convert({**DATASET, **changes}, wire.Dataset)


def destination(*, full: bool = False, **changes: Any) -> Destination:
    source = dataset(**changes)
    if full:
        keep(source, {**DATASET, **changes})
    return translate.destination("cdp", ID, source, sandbox="prod")


def wanted(**fields: Any) -> Destination:
    return ParseDict({"display_name": "Profile Data Export", **fields}, Destination())


def test_the_sample_dataset_is_whole() -> None:
    assert MessageToDict(destination(), preserving_proto_field_name=True) == {
        "name": f"connections/cdp/destinations/{ID}",
        "display_name": "Profile Data Export",
        "description": "A dataset for accounts held by Acme.",
        "state": "ACTIVE",
        "create_time": "2018-09-09T23:48:37.382Z",
        "update_time": "2018-10-17T16:32:58.215Z",
        "adobe": {
            "schema_ref_id": UNION,
            "schema_content_type": "application/vnd.adobe.xed+json;version=1",
            "sandbox": "prod",
            "tags": {
                "adobe/pqs/table": ["unifiedprofileingestiontesteventsdataset"],
                "unifiedIdentity": ["enabled:true"],
                "unifiedProfile": ["enabled:true", "isUpsert:true"],
            },
        },
    }


def test_a_dataset_may_have_nothing() -> None:
    bare = translate.destination("cdp", "x_1", wire.Dataset(), sandbox="prod")
    assert bare.name == "connections/cdp/destinations/x__1"
    assert bare.state == Destination.ACTIVE
    assert not bare.HasField("create_time")
    assert not bare.adobe.tags


def test_every_key_may_be_null() -> None:
    nulls: dict[str, Any] = dict.fromkeys(DATASET)
    assert destination(**nulls).name == f"connections/cdp/destinations/{ID}"


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"id": UNION, "contentType": "application/vnd.adobe.xed+json;version=1"}, True),
        ({"id": UNION}, True),
        ({"id": "https://ns.adobe.com/xdm/context/profile"}, False),
        ({"id": "https://ns.adobe.com/acme/schemas/719c4e19184402c27595e65b931a142b"}, False),
        ({}, False),
        (None, False),
    ],
)
def test_only_what_is_on_the_union_schema_is_a_destination(schema: dict[str, str] | None, expected: bool) -> None:
    assert translate.is_destination(dataset(schemaRef=schema)) == expected


def test_what_is_not_modelled_is_kept_in_the_full_view_alone() -> None:
    extras = plain(destination(full=True, persistence={"adls": {"credentials": "@/x"}}).vendor_extras)
    assert extras["persistence"] == {"adls": {"credentials": "********"}}
    assert extras["files"] == "@/dataSets/5b020a27e7040801dedbf46e/views/5b020a27e7040801dedbf46f/files"
    assert extras.keys() == {*DATASET, "persistence"} - {
        *("name", "description", "tags", "schemaRef", "created", "updated")
    }
    assert not destination().HasField("vendor_extras")


# What is written.


def test_a_dataset_is_made_on_the_union_schema() -> None:
    assert translate.dataset(wanted()) == {
        "name": "Profile Data Export",
        "schemaRef": {"id": UNION, "contentType": "application/vnd.adobe.xed+json;version=1"},
    }
    spec = {"schema_ref_id": UNION, "schema_content_type": "application/vnd.adobe.xed+json;version=2"}
    assert translate.dataset(wanted(adobe=spec))["schemaRef"]["contentType"].endswith("version=2")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"display_name": ""}, "destination.display_name"),
        ({"adobe": {"schema_ref_id": "https://ns.adobe.com/acme/schemas/1"}}, "destination.adobe.schema_ref_id"),
    ],
)
def test_what_could_not_be_a_destination_is_not_made(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        translate.dataset(wanted(**fields))
    assert (refused.value.reason, refused.value.violations[0].field) == ("INVALID_FIELD", field)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("display_name", {"name": "Profile Data Export"}),
        ("description", {"description": ""}),
        ("adobe.tags", {"tags": {"team": ["crm"], "adobe/pqs/table": []}}),
    ],
)
def test_only_what_changed_is_written(path: str, body: dict[str, Any]) -> None:
    merged = wanted(adobe={"tags": {"team": ["crm"], "adobe/pqs/table": []}})
    assert translate.patch(merged, {path}) == body


def test_tags_can_be_taken_away_and_a_name_can_not() -> None:
    assert translate.patch(wanted(), {"adobe.tags", "description"}) == {"description": "", "tags": {}}
    with pytest.raises(InvalidRequest) as refused:
        translate.patch(Destination(), {"display_name"})
    assert refused.value.violations[0].field == "destination.display_name"


@given(st.dictionaries(st.text(max_size=8), st.lists(st.text(max_size=8), max_size=3), max_size=4))
def test_tags_go_round_whatever_they_hold(tags: dict[str, list[str]]) -> None:
    shown = destination(tags=tags)
    assert json.loads(json.dumps(translate.patch(shown, {"adobe.tags"}))) == {"tags": tags}


def test_a_tag_that_is_no_list_is_shown_as_one() -> None:
    assert MessageToDict(destination(tags={"a": "x", "b": None, "c": 1}))["adobe"]["tags"] == {
        "a": ["x"],
        "b": [None],
        "c": [1.0],
    }


@pytest.mark.parametrize(
    ("references", "dataset_id"),
    [
        (["@/dataSets/5ba9452f7de80400007fc52a"], "5ba9452f7de80400007fc52a"),
        (["@/datasets/5b020a27e7040801dedba61b"], "5b020a27e7040801dedba61b"),
        (["5ba9452f7de80400007fc52a"], "5ba9452f7de80400007fc52a"),
        ([], ""),
        (["@/dataSets/"], ""),
    ],
)
def test_the_new_id_is_the_end_of_the_reference(references: list[str], dataset_id: str) -> None:
    assert translate.dataset_id(references) == dataset_id


# Errors: the gateway's, UPS's, Catalog's and the platform's, and two that are seen besides.

ENVELOPES: dict[str, tuple[int, dict[str, Any], tuple[str, str, str]]] = {
    "gateway": (400, {"error_code": "400003", "message": "Missing header"}, ("400003", "Missing header", "")),
    "UPS": (
        404,
        {
            "requestId": "SBBYoLtPBcKFlXnmYTSxVgIkGzvRRN5d",
            "errors": {"404": [{"code": "404", "message": "Audience not found"}]},
            "type": "https://ns.adobe.com/aep/errors/UPAPI-113430-404",
            "title": "Not Found",
            "status": 404,
        },
        ("UPAPI-113430-404", "Audience not found", "SBBYoLtPBcKFlXnmYTSxVgIkGzvRRN5d"),
    ),
    "UPS, codes of its own": (
        400,
        {
            "requestId": "r",
            "errors": {
                "400": [{"code": "UPAPI-113752-400", "message": "One is wrong"}, {"code": 400, "message": "Two is"}]
            },
            "type": "https://ns.adobe.com/aep/errors/UPAPI-113430-400",
        },
        ("UPAPI-113752-400", "One is wrong; Two is", "r"),
    ),
    "Catalog": (
        404,
        {"type": "/placeholder/type/uri", "status": 404, "title": "NotFoundError", "detail": "DataSet not found."},
        ("NotFoundError", "DataSet not found.", ""),
    ),
    "the platform": (
        422,
        {
            "type": "http://ns.adobe.com/aep/errors/EXEG-0104-422",
            "status": 422,
            "title": "Unprocessable entity",
            "detail": "Invalid request (report attached). Please check your input and try again.",
            "report": {"requestId": "0f8821e5-ed1a-4301-b445-5f336fb50ee8"},
            "error-chain": [],
        },
        (
            "EXEG-0104-422",
            "Invalid request (report attached). Please check your input and try again.",
            "0f8821e5-ed1a-4301-b445-5f336fb50ee8",
        ),
    ),
    "flow service": (400, {"errorMessage": "etag does not match"}, ("", "etag does not match", "")),
    "Profile, too many": (
        429,
        {"message": "Too many requests", "cause": "x", "retryAfterMs": "500", "statusCode": "429"},
        ("", "Too many requests", ""),
    ),
    "login": (
        401,
        {"error": "invalid_client", "error_description": "invalid client_id parameter"},
        ("invalid_client", "invalid client_id parameter", ""),
    ),
}


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_every_envelope_is_read(envelope: str) -> None:
    status, body, expected = ENVELOPES[envelope]
    fault = translate.fault(status, {}, json.dumps(body).encode())
    assert (fault.code, fault.message, fault.request_id) == expected


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("401013", CredentialsRejected),
        ("403010", CredentialsRejected),
        ("403000", CredentialsRejected),
        ("403003", CredentialsRejected),
        ("429050", RateLimited),
        ("403025", None),
        ("403027", None),
        ("400003", None),
    ],
)
def test_some_codes_say_more_than_the_status(code: str, kind: type[VendorError] | None) -> None:
    for body in (f'{{"error_code": "{code}"}}', f'{{"error_code": {code}}}'):
        assert translate.fault(int(code[:3]), {}, body.encode()).kind is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, CredentialsRejected), (401, CredentialsRejected), (403, CredentialsRejected), (429, None), (503, None)],
)
def test_a_login_that_is_refused_is_about_credentials_whatever_the_status(
    status: int, kind: type[VendorError] | None
) -> None:
    assert translate.login_fault(status, {}, b'{"error": "invalid_scope"}').kind is kind


@pytest.mark.parametrize(
    ("headers", "given", "wait_s"),
    [
        ({}, '"500"', 0.5),
        ({}, "1500", 1.5),
        ({"Retry-After": "2"}, '"500"', None),
        ({}, '"soon"', None),
        ({}, "-5", None),
        ({}, '"' + "9" * 40 + '"', None),
        ({}, "null", None),
    ],
)
def test_a_wait_in_milliseconds_counts_where_there_is_no_header(
    headers: dict[str, str], given: str, wait_s: float | None
) -> None:
    # A wait in the header is read by whoever reads headers.
    assert translate.fault(429, headers, f'{{"retryAfterMs": {given}}}'.encode()).retry_after_s == wait_s


def test_the_identifier_of_the_call_may_be_in_a_header() -> None:
    assert translate.fault(503, {"x-request-id": "r-1"}, b"").request_id == "r-1"


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{}", b"null", b"<html>502</html>", b'["message"]', b"\xff", b"[" * 100_000, b'{"errors": 5}'),
        b'{"errors": ' + b"[" * 100_000,
        b'{"errors": [[5], {"code": {}, "message": []}], "report": [], "message": {}, "type": 5, "error_code": true}',
        b'{"errors": {"404": null, "400": {"message": null}}}',
    ],
    ids=lambda body: repr(body[:40]),
)
def test_an_answer_that_is_no_envelope_says_nothing(body: bytes) -> None:
    fault = translate.fault(404, {}, body)
    assert (fault.code, fault.message, fault.kind) == ("", "", None)


@given(st.binary(max_size=64) | st.text(max_size=64).map(str.encode))
def test_any_answer_can_be_read(body: bytes) -> None:
    assert translate.fault(500, {}, body).http_status == 0


@pytest.mark.parametrize(
    ("expires_in", "life_s"),
    [(86399, 86399), (86399.0, 86399), (3600, 3600), (86399992, 86399.992), (604800, 604800)],
)
def test_a_life_in_milliseconds_is_not_taken_for_years(expires_in: float, life_s: float) -> None:
    assert translate.token_life_s(expires_in) == life_s
