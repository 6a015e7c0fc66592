"""The requests that each operation sends, as the simulator received them; expected values are the documentation's."""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest
from google.protobuf.struct_pb2 import Struct

from adapters import names
from adapters.base import Change, Edit, ListQuery, Term
from adapters.errors import InvalidRequest, NotFound
from adapters.meiro.adapter import MeiroAdapter
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportAudience, ExportJob
from tests.vendors.meiro.instance import Meiro

DESTINATIONS = "/api/segments/export/destinations"
Query = tuple[tuple[str, str], ...]
FULL: Query = (("load_full_structure", "1"),)


class Request(NamedTuple):
    """What differs between the requests of operations."""

    method: str
    path: str
    query: Query = ()
    body: Any = None
    """None: no body at all."""


def page(limit: int, offset: int = 0) -> Query:
    return (("limit", str(limit)), ("offset", str(offset)))


def order(column: str, direction: str) -> Query:
    return (("order_by", column), ("order_dir", direction))


BY_ID = order("id", "ASC")
NEWEST_FIRST = order("id", "DESC")


def only(*terms: tuple[str, str, str], **query: Any) -> ListQuery:
    return ListQuery(terms=tuple(Term(*term) for term in terms), **query)


def edit(*paths: str, **fields: Any) -> Edit[Destination]:
    """Return what sets *fields* and says that *paths* differ."""

    def change(current: Destination) -> Change[Destination]:
        merged = Destination()
        merged.CopyFrom(current)
        merged.MergeFrom(Destination(**fields))
        return Change(current=current, merged=merged, paths=frozenset(paths), settled=not paths)

    return change


async def delete(adapter: MeiroAdapter, destination_id: str, *, validate_only: bool = False) -> Destination:
    name = f"connections/crm/destinations/{destination_id}"
    return await adapter.delete_destination(Destination(name=name), force=False, validate_only=validate_only)


async def run(adapter: MeiroAdapter, display_name: str = "", *, validate_only: bool = False) -> ExportJob:
    job = ExportJob(
        display_name=display_name,
        destination="connections/crm/destinations/101",
        audiences=[ExportAudience(audience_id="301")],
    )
    return await adapter.create_export_job(job, marker="0a1b2c3d", validate_only=validate_only)


async def download(adapter: MeiroAdapter, offset: int = 0) -> None:
    async with adapter.download_export_job("300~1001", artifact_id="file", offset=offset) as opened:
        async for _ in opened.chunks:
            pass


def jobs_of(audience_id: str, **query: Any) -> ListQuery:
    return only(("audiences.audience_id", ":", audience_id), **query)


OPERATIONS: dict[str, tuple[Callable[[MeiroAdapter], Awaitable[object]], list[Request]]] = {
    "check": (
        lambda a: a.check_connection(),
        [Request("GET", DESTINATIONS, page(1) + BY_ID)],
    ),
    "list destinations": (
        lambda a: a.list_destinations(ListQuery(), "", 20),
        [Request("GET", DESTINATIONS, page(20) + BY_ID)],
    ),
    "list destinations, more than Meiro is asked for at once": (
        lambda a: a.list_destinations(ListQuery(), "", 500),
        [Request("GET", DESTINATIONS, page(100) + BY_ID)],
    ),
    "list destinations by name": (
        lambda a: a.list_destinations(ListQuery(order_by="display_name", descending=True), "", 20),
        [Request("GET", DESTINATIONS, page(20) + order("name", "DESC"))],
    ),
    "list destinations by time": (
        lambda a: a.list_destinations(ListQuery(order_by="create_time"), "", 20),
        [Request("GET", DESTINATIONS, page(20) + order("created", "ASC"))],
    ),
    "list destinations, FULL": (
        lambda a: a.list_destinations(ListQuery(full=True), "", 1),
        [
            Request("GET", DESTINATIONS, page(1) + BY_ID + FULL),
            Request("GET", f"{DESTINATIONS}/101/last_running_export"),
        ],
    ),
    "list deleted destinations": (
        lambda a: a.list_destinations(only(("state", "=", "DELETED")), "", 20),
        [Request("GET", f"{DESTINATIONS}/trash", page(20))],
    ),
    "list deleted destinations whose name has a text": (
        lambda a: a.list_destinations(only(("state", "=", "DELETED"), ("display_name", ":", "böx & co")), "", 20),
        [Request("GET", f"{DESTINATIONS}/trash", (*page(20), ("searched_text", "böx & co")))],
    ),
    "get destination": (
        lambda a: a.get_destination("101"),
        [Request("GET", f"{DESTINATIONS}/101")],
    ),
    "get destination, FULL": (
        lambda a: a.get_destination("101", full=True),
        [Request("GET", f"{DESTINATIONS}/101", FULL), Request("GET", f"{DESTINATIONS}/101/last_running_export")],
    ),
    "update destination": (
        lambda a: a.update_destination(
            "101",
            edit(
                *("display_name", "disabled", "meiro.settings", "meiro.attribute_ids"),
                display_name="CRM drop",
                disabled=True,
                meiro={"settings": Struct(), "attribute_ids": ["phone"]},
            ),
        ),
        [
            Request("GET", f"{DESTINATIONS}/101"),
            Request(
                "PATCH",
                f"{DESTINATIONS}/101",
                body={
                    "name": "CRM drop",
                    "disabled": 1,
                    "attribute_ids": '["email","first_name","phone"]',
                    "settings": '{"mandatory_attributes_operator":"and"}',
                },
            ),
        ],
    ),
    "update destination, nothing differs": (
        lambda a: a.update_destination("101", edit()),
        [Request("GET", f"{DESTINATIONS}/101")],
    ),
    "delete destination": (
        lambda a: delete(a, "106"),
        [Request("DELETE", f"{DESTINATIONS}/106")],
    ),
    "delete destination, validate only": (
        lambda a: delete(a, "106", validate_only=True),
        [],
    ),
    "undelete destination": (
        lambda a: a.undelete_destination("191", validate_only=False),
        [
            Request("GET", f"{DESTINATIONS}/191"),
            Request("PATCH", f"{DESTINATIONS}/trash/191"),
            Request("GET", f"{DESTINATIONS}/191"),
        ],
    ),
    "undelete destination, validate only": (
        lambda a: a.undelete_destination("191", validate_only=True),
        [Request("GET", f"{DESTINATIONS}/191"), Request("GET", f"{DESTINATIONS}/trash", page(100))],
    ),
    "list export jobs": (
        lambda a: a.list_export_jobs(jobs_of("300"), "", 50),
        [Request("GET", "/api/segments/300/exports", page(50) + NEWEST_FIRST)],
    ),
    "list export jobs, oldest first, FULL": (
        lambda a: a.list_export_jobs(jobs_of("300", order_by="create_time", full=True), "", 50),
        [
            Request(
                "GET",
                "/api/segments/300/exports",
                page(50) + order("created", "ASC") + FULL,
            )
        ],
    ),
    "run export": (
        lambda a: run(a, "example tag"),
        [
            Request(
                "POST",
                "/api/segments/301/exports",
                body={"segment_export_destination_id": 101, "name": "example tag [gw:0a1b2c3d]"},
            )
        ],
    ),
    "run export, validate only": (
        lambda a: run(a, validate_only=True),
        [],
    ),
    "get export job": (
        lambda a: a.get_export_job("300~1001"),
        [Request("GET", "/api/segments/300/exports/1001")],
    ),
    "get export job, FULL": (
        lambda a: a.get_export_job("300~1001", full=True),
        [Request("GET", "/api/segments/300/exports/1001", FULL)],
    ),
    "get failed export job, FULL": (
        lambda a: a.get_export_job("300~1002", full=True),
        [
            Request("GET", "/api/segments/300/exports/1002", FULL),
            Request("GET", "/api/segments/300/exports/1002/logs", page(100) + NEWEST_FIRST),
        ],
    ),
    "cancel export job": (
        lambda a: a.cancel_export_job("300~1006"),
        [Request("DELETE", "/api/segments/300/exports/1006")],
    ),
    "list log entries": (
        lambda a: a.list_export_job_log_entries("300~1001", ListQuery(), "", 20),
        [Request("GET", "/api/segments/300/exports/1001/logs", page(20) + BY_ID)],
    ),
    "list log entries, latest first": (
        lambda a: a.list_export_job_log_entries("300~1001", ListQuery(order_by="log_time", descending=True), "", 20),
        [
            Request(
                "GET",
                "/api/segments/300/exports/1001/logs",
                page(20) + order("created", "DESC"),
            )
        ],
    ),
    "list revisions": (
        lambda a: a.list_export_job_revisions("300~1001", ListQuery(), "", 20),
        [Request("GET", "/api/segments/300/exports/1001/history", page(20) + BY_ID)],
    ),
    "get revision": (
        lambda a: a.get_export_job_revision("300~1001", "100102"),
        [Request("GET", "/api/segments/300/exports/1001/history/100102")],
    ),
    "get current revision": (
        lambda a: a.get_export_job_revision("300~1001", "current"),
        [Request("GET", "/api/segments/300/exports/1001")],
    ),
    "download": (
        download,
        [Request("GET", "/api/segments/300/exports/1001/download")],
    ),
}


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_each_operation_sends_the_documented_request(meiro: Meiro, adapter: MeiroAdapter, operation: str) -> None:
    call, expected = OPERATIONS[operation]
    await call(adapter)
    received = [
        Request(
            entry["method"],
            entry["path"],
            tuple((name, value) for name, value in entry["query"]),
            json.loads(entry["body"]) if entry["body"] else None,
        )
        for entry in meiro.sandbox.journal
    ]
    assert received == expected
    assert all(entry["status"] in {200, 201, 404} for entry in meiro.sandbox.journal)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_each_request_has_the_documented_headers_and_no_other_credential(
    meiro: Meiro, adapter: MeiroAdapter, operation: str
) -> None:
    await OPERATIONS[operation][0](adapter)
    for entry in meiro.sandbox.journal:
        headers = {name.lower(): value for name, value in entry["headers"].items()}
        assert headers.pop("x-access-token") == "sandbox-token"
        assert headers.pop("content-type") == "application/json"
        assert headers.pop("accept-encoding") == "identity"
        assert headers.keys() <= {"host", "accept", "user-agent", "content-length", "connection"}


def test_every_documented_operation_is_among_them() -> None:
    requests = [request for _, expected in OPERATIONS.values() for request in expected]
    assert {f"{request.method} {re.sub('[0-9]+', '{}', request.path)}" for request in requests} == {
        "GET /api/segments/export/destinations",
        "GET /api/segments/export/destinations/{}",
        "PATCH /api/segments/export/destinations/{}",
        "DELETE /api/segments/export/destinations/{}",
        "GET /api/segments/export/destinations/{}/last_running_export",
        "GET /api/segments/export/destinations/trash",
        "PATCH /api/segments/export/destinations/trash/{}",
        "GET /api/segments/{}/exports",
        "POST /api/segments/{}/exports",
        "GET /api/segments/{}/exports/{}",
        "DELETE /api/segments/{}/exports/{}",
        "GET /api/segments/{}/exports/{}/history",
        "GET /api/segments/{}/exports/{}/history/{}",
        "GET /api/segments/{}/exports/{}/logs",
        "GET /api/segments/{}/exports/{}/download",
    }


async def test_a_download_goes_on_by_range(meiro: Meiro, adapter: MeiroAdapter) -> None:
    await download(adapter, offset=5)
    (entry,) = meiro.sandbox.journal
    assert entry["headers"]["Range"] == "bytes=5-"


async def test_ids_are_escaped_whole(meiro: Meiro, adapter: MeiroAdapter) -> None:
    for hostile in ("../users", "a/b", "%2F", "x?y=1#z", "\x00"):
        with pytest.raises(NotFound):
            await adapter.get_destination(names.join_id(hostile))
        with pytest.raises(NotFound):
            await adapter.get_export_job(names.join_id(hostile, hostile))
    with pytest.raises(InvalidRequest):
        await adapter.get_destination(names.join_id(".."))
    assert [entry["path"].removeprefix(DESTINATIONS) for entry in meiro.sandbox.journal][::2] == [
        "/..%2Fusers",
        "/a%2Fb",
        "/%252F",
        "/x%3Fy%3D1%23z",
        "/%00",
    ]


@pytest.mark.parametrize(("ids", "sent"), [("string", 101), ("number", 101)])
async def test_a_destination_is_named_by_a_number_however_ids_are_answered(
    meiro: Meiro, adapter: MeiroAdapter, ids: str, sent: int
) -> None:
    meiro.sandbox.set_switches(ids=ids)
    job = await run(adapter)
    assert job.destination == "connections/crm/destinations/101"
    assert json.loads(meiro.sandbox.journal[-1]["body"])["segment_export_destination_id"] == sent


async def test_the_mark_can_be_left_out(meiro: Meiro) -> None:
    job = await run(meiro.connect(mark_exports=False), "example tag")
    assert json.loads(meiro.sandbox.journal[-1]["body"])["name"] == "example tag"
    assert job.display_name == "example tag"


async def test_a_login_sends_the_documented_requests(meiro: Meiro) -> None:
    adapter = meiro.log_in()
    await adapter.check_connection()
    meiro.sandbox.clock.advance(9 * 3600)
    await adapter.check_connection()
    logins = [entry for entry in meiro.sandbox.journal if entry["path"] == "/api/users/login"]
    assert [entry["method"] for entry in logins] == ["POST", "PATCH"]
    first, second = (entry["headers"]["X-Access-Token"] for entry in meiro.sandbox.journal if entry not in logins)
    assert json.loads(logins[0]["body"]) == {"email": "operator@shop.example", "password": "sandbox-password"}
    assert json.loads(logins[1]["body"]) == {"token": first}
    assert first != second
    assert not [entry for entry in logins if "X-Access-Token" in entry["headers"]]
