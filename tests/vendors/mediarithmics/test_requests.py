"""The requests that each operation sends, as the simulator received them; expected values are the documentation's."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest

from adapters import names
from adapters.base import ListQuery, Term
from adapters.errors import NotFound
from adapters.mediarithmics.adapter import MediarithmicsAdapter
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.vendor_config_pb2 import MediarithmicsDestinationConfig
from tests.vendors.mediarithmics.datamart import (
    ADD,
    BENCH,
    CLUB,
    FROZEN_AT_MS,
    IMPORTS,
    LEAFLET,
    NEVER_USED,
    NEWSLETTER,
    Datamart,
    changing,
    jobs_of,
    named,
    upload,
)

EXECUTIONS = f"{IMPORTS}/{NEWSLETTER}/executions"
Query = tuple[tuple[str, str], ...]


class Request(NamedTuple):
    """What differs between the requests of operations."""

    method: str
    path: str
    query: Query = ()
    body: Any = None
    """JSON where it is; None: no body at all."""
    content_type: str | None = None


def part(size: int, offset: int = 0) -> Query:
    return (("first_result", str(offset)), ("max_results", str(size)))


def wanted(**config: str) -> Destination:
    return Destination(
        display_name="<YOUR_DOCUMENT_IMPORT_NAME>", mediarithmics=MediarithmicsDestinationConfig(**config)
    )


def created(**fields: str) -> Request:
    body = {
        "document_type": "USER_SEGMENT",
        "mime_type": "APPLICATION_X_NDJSON",
        "encoding": "utf-8",
        "name": "<YOUR_DOCUMENT_IMPORT_NAME>",
        "priority": "MEDIUM",
    }
    return Request("POST", IMPORTS, body={**body, **fields}, content_type="application/json")


def sent(import_id: str, body: str, content_type: str) -> list[Request]:
    return [
        Request("GET", f"{IMPORTS}/{import_id}"),
        Request("POST", f"{IMPORTS}/{import_id}/executions", body=body, content_type=content_type),
    ]


def written(**fields: str) -> dict[str, str]:
    body = {
        "id": NEWSLETTER,
        "datafarm_key": "DF_EU_2026_01",
        "datamart_id": "1509",
        "document_type": "USER_SEGMENT",
        "mime_type": "APPLICATION_X_NDJSON",
        "encoding": "utf-8",
        "name": "Example shop newsletter",
        "priority": "MEDIUM",
    }
    return {**body, **fields}


async def download(adapter: MediarithmicsAdapter, artifact_id: str, offset: int = 0) -> None:
    opened = adapter.download_export_job(f"{NEWSLETTER}~90002", artifact_id=artifact_id, offset=offset)
    async with opened as file:
        async for _ in file.chunks:
            pass


ELSEWHERE = f"connections/other/destinations/{NEWSLETTER}"
DELETE = Destination(name=named(NEWSLETTER))
URI = "mics://data_file/tenants/1426/document_imports/21501/executions/90002/example-90002.ndjson"
HEADER = (
    "operation,compartment_id,user_account_id,email_hash,user_agent_id,segment_id,segment_technical_name,"
    "expiration_duration,expiration_ts,data_bag\r\n"
)

OPERATIONS: dict[str, tuple[Callable[[MediarithmicsAdapter], Awaitable[object]], list[Request]]] = {
    "check": (
        lambda a: a.check_connection(),
        [Request("GET", IMPORTS, part(1))],
    ),
    "list destinations": (
        lambda a: a.list_destinations(ListQuery(), "", 40),
        [Request("GET", IMPORTS, part(40))],
    ),
    "list destinations, of which the first page has too few": (
        lambda a: a.list_destinations(ListQuery(), "", 5),
        [Request("GET", IMPORTS, part(5)), Request("GET", IMPORTS, part(500, 5))],
    ),
    "list destinations, more than mediarithmics is asked for at once": (
        lambda a: a.list_destinations(ListQuery(), "", 501),
        [Request("GET", IMPORTS, part(500))],
    ),
    "list destinations, FULL": (
        lambda a: a.list_destinations(ListQuery(full=True), "", 1),
        [Request("GET", IMPORTS, part(1)), Request("GET", EXECUTIONS, part(100))],
    ),
    "get destination": (
        lambda a: a.get_destination(NEWSLETTER),
        [Request("GET", f"{IMPORTS}/{NEWSLETTER}")],
    ),
    "get destination, FULL": (
        lambda a: a.get_destination(NEWSLETTER, full=True),
        [Request("GET", f"{IMPORTS}/{NEWSLETTER}"), Request("GET", EXECUTIONS, part(100))],
    ),
    "create destination": (
        lambda a: a.create_destination(wanted(), validate_only=False),
        [created()],
    ),
    "create destination, CSV": (
        lambda a: a.create_destination(wanted(mime_type="TEXT_CSV", priority="HIGH"), validate_only=False),
        [created(mime_type="TEXT_CSV", priority="HIGH")],
    ),
    "create destination, validate only": (
        lambda a: a.create_destination(wanted(), validate_only=True),
        [],
    ),
    "update destination": (
        lambda a: a.update_destination(
            NEWSLETTER,
            changing(
                "display_name", "mediarithmics.priority", display_name="Letters", mediarithmics={"priority": "LOW"}
            ),
        ),
        [
            Request("GET", f"{IMPORTS}/{NEWSLETTER}"),
            Request(
                "PUT",
                f"{IMPORTS}/{NEWSLETTER}",
                body=written(name="Letters", priority="LOW"),
                content_type="application/json",
            ),
        ],
    ),
    "update destination, nothing differs": (
        lambda a: a.update_destination(NEWSLETTER, changing("display_name", display_name="Example shop newsletter")),
        [Request("GET", f"{IMPORTS}/{NEWSLETTER}")],
    ),
    "delete destination": (
        lambda a: a.delete_destination(DELETE, force=False, validate_only=False),
        [Request("DELETE", f"{IMPORTS}/{NEWSLETTER}")],
    ),
    "delete destination, validate only": (
        lambda a: a.delete_destination(DELETE, force=False, validate_only=True),
        [],
    ),
    "list export jobs of one import": (
        lambda a: a.list_export_jobs(jobs_of(NEWSLETTER), "", 50),
        [Request("GET", EXECUTIONS, part(50))],
    ),
    "list export jobs of one import, more than mediarithmics is asked for at once": (
        lambda a: a.list_export_jobs(jobs_of(NEWSLETTER), "", 501),
        [Request("GET", EXECUTIONS, part(500))],
    ),
    "list export jobs of another connection": (
        lambda a: a.list_export_jobs(ListQuery(terms=(Term("destination", "=", ELSEWHERE),)), "", 50),
        [],
    ),
    "get export job": (
        lambda a: a.get_export_job(f"{NEWSLETTER}~90001"),
        [Request("GET", f"{EXECUTIONS}/90001")],
    ),
    "cancel export job": (
        lambda a: a.cancel_export_job(f"{CLUB}~90102"),
        [
            Request(
                "POST",
                f"{IMPORTS}/{CLUB}/executions/90102/action",
                body={"action": "CANCEL"},
                content_type="application/json",
            ),
            Request("GET", f"{IMPORTS}/{CLUB}/executions/90102"),
        ],
    ),
    "download what was sent": (
        lambda a: download(a, ""),
        [Request("GET", f"{EXECUTIONS}/90002"), Request("GET", "/v1/data_file/data", (("uri", URI),))],
    ),
    "download what was refused": (
        lambda a: download(a, "error"),
        [Request("GET", f"{EXECUTIONS}/90002"), Request("GET", "/v1/data_file/data", (("uri", f"{URI}.err"),))],
    ),
    "upload, NDJSON": (
        lambda a: upload(a, ADD, {**ADD, "operation": "REMOVE"}),
        sent(
            NEVER_USED,
            '{"operation":"UPDATE","user_account_id":"a-1","segment_id":"8003","expiration_duration":1440}\n'
            '{"operation":"DELETE","user_account_id":"a-1","segment_id":"8003","expiration_duration":0}\n',
            "application/x-ndjson",
        ),
    ),
    "upload, CSV": (
        lambda a: upload(a, ADD, {**ADD, "operation": "REMOVE"}, destination_id=LEAFLET),
        sent(
            LEAFLET,
            f"{HEADER}UPDATE,,a-1,,,8003,,1440,,\r\nDELETE,,a-1,,,8003,,0,,\r\n",
            "text/csv",
        ),
    ),
}


def received(datamart: Datamart) -> list[Request]:
    found = []
    for entry in datamart.sandbox.journal:
        content_type = entry["headers"].get("Content-Type")
        body = entry["body"] or None
        body = json.loads(body) if body and content_type == "application/json" else body
        query = tuple((name, value) for name, value in entry["query"])
        found.append(Request(entry["method"], entry["path"], query, body, content_type))
    return found


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_each_operation_sends_the_documented_request(
    datamart: Datamart, adapter: MediarithmicsAdapter, operation: str
) -> None:
    call, expected = OPERATIONS[operation]
    await call(adapter)
    assert received(datamart) == expected
    assert {entry["status"] for entry in datamart.sandbox.journal} <= {200}


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_each_request_has_the_bare_token_and_its_length(
    datamart: Datamart, adapter: MediarithmicsAdapter, operation: str
) -> None:
    call, _ = OPERATIONS[operation]
    await call(adapter)
    for entry in datamart.sandbox.journal:
        headers = entry["headers"]
        assert headers["Authorization"] == "sandbox-token"
        assert headers.get("Content-Length", "0") == str(entry["body_bytes"])
        assert "Transfer-Encoding" not in headers
        assert "sandbox-token" not in f"{entry['path']}{entry['query_string']}{entry['body']}"


async def test_a_token_is_sent_as_it_is(datamart: Datamart) -> None:
    await datamart.connect(token="api:sandbox-token").check_connection()
    assert datamart.sandbox.journal[-1]["headers"]["Authorization"] == "api:sandbox-token"


async def test_a_uri_is_escaped_whole(datamart: Datamart, adapter: MediarithmicsAdapter) -> None:
    await download(adapter, "input")
    query = datamart.sandbox.journal[-1]["query_string"]
    assert query.startswith("uri=mics%3A%2F%2Fdata_file%2Ftenants%2F1426%2F")


@pytest.mark.parametrize(
    ("vendor_id", "sent_as"),
    [("../users", "..%2Fusers"), ("a/b", "a%2Fb"), ("%2F", "%252F"), ("x?y=1#z", "x%3Fy%3D1%23z"), ("\x00", "%00")],
)
async def test_ids_are_escaped_whole(
    datamart: Datamart, adapter: MediarithmicsAdapter, vendor_id: str, sent_as: str
) -> None:
    with pytest.raises(NotFound):
        await adapter.get_destination(names.join_id(vendor_id))
    assert datamart.requests() == [f"GET {IMPORTS}/{sent_as}"]


async def test_every_field_of_a_command_is_written_as_documented(
    datamart: Datamart, adapter: MediarithmicsAdapter
) -> None:
    await upload(
        adapter,
        {**ADD, "compartmentId": "1001", "attributesJson": '{"score": 3, "big": 9007199254740993}'},
        {"operation": "ADD", "emailHash": "e3a3b1", "audienceKey": "example_nobody", "neverExpires": True},
        {"operation": "ADD", "userAgentId": "vec:123", "audienceId": "8003", "expireTime": "2026-01-01T01:00:00.5Z"},
    )
    assert [json.loads(line) for line in datamart.sandbox.journal[-1]["body"].splitlines()] == [
        {
            "operation": "UPDATE",
            "compartment_id": "1001",
            "user_account_id": "a-1",
            "segment_id": "8003",
            "expiration_duration": 1440,
            "data_bag": '{"score": 3, "big": 9007199254740993}',
        },
        {
            "operation": "UPDATE",
            "email_hash": "e3a3b1",
            "segment_technical_name": "example_nobody",
            "expiration_duration": 0,
        },
        {
            "operation": "UPDATE",
            "user_agent_id": "vec:123",
            "segment_id": "8003",
            "expiration_duration": 61,
            "expiration_ts": FROZEN_AT_MS + 3_600_500,
        },
    ]


async def test_a_marked_file_is_sent_in_a_form_under_its_mark(datamart: Datamart) -> None:
    adapter = datamart.connect(mark_files=True)
    job = await upload(adapter, ADD, marker="0a1b2c3d")
    entry = datamart.sandbox.journal[-1]
    media_type, _, boundary = entry["headers"]["Content-Type"].partition("; boundary=")
    assert media_type == "multipart/form-data"
    row = '{"operation":"UPDATE","user_account_id":"a-1","segment_id":"8003","expiration_duration":1440}\n'
    assert entry["body"] == (
        f'--{boundary}\r\nContent-Disposition: form-data; name="type"\r\n\r\napplication/x-ndjson\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="gw-0a1b2c3d.ndjson"\r\n'
        f"Content-Type: application/x-ndjson\r\n\r\n{row}\r\n--{boundary}--\r\n"
    )
    datamart.sandbox.clock.advance(60)
    (artifact,) = (await adapter.get_export_job(job.name.rpartition("/")[2])).artifacts
    assert artifact.filename == "gw-0a1b2c3d.ndjson"


async def test_a_marked_csv_file_has_its_own_name_and_type(datamart: Datamart) -> None:
    await upload(datamart.connect(mark_files=True), ADD, destination_id=LEAFLET, marker="0a1b2c3d")
    body = datamart.sandbox.journal[-1]["body"]
    assert 'filename="gw-0a1b2c3d.csv"\r\nContent-Type: text/csv\r\n' in body
    assert 'name="type"\r\n\r\ntext/csv\r\n' in body


async def test_a_file_without_a_mark_is_sent_bare_whatever_the_setting(datamart: Datamart) -> None:
    await upload(datamart.connect(mark_files=True), ADD)
    assert datamart.sandbox.journal[-1]["headers"]["Content-Type"] == "application/x-ndjson"


async def test_jobs_of_all_imports_are_asked_for_import_by_import(
    datamart: Datamart, adapter: MediarithmicsAdapter
) -> None:
    await adapter.list_export_jobs(ListQuery(), "", 5)
    listed, *asked = received(datamart)
    assert listed == Request("GET", IMPORTS, part(500))
    assert len(asked) == len(set(asked)) == 10
    assert Request("GET", f"{IMPORTS}/{BENCH}/executions", part(25)) in asked
