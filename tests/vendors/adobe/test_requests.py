"""The requests that each operation sends, as the simulator received them; expected values are the documentation's."""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import pytest
from google.protobuf.json_format import ParseDict

from adapters import names
from adapters.adobe.adapter import AdobeAdapter
from adapters.base import Change, Edit, ListQuery, Term
from adapters.errors import InvalidRequest, NotFound
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportAudience, ExportJob
from tests.vendors.adobe.instance import DATASETS, JOBS, LOGIN, NEWSLETTER, SEGMENT, Adobe
from tests.vendors.adobe.samples import REQUEST

Query = tuple[tuple[str, str], ...]
UNION = {
    "id": "https://ns.adobe.com/xdm/context/profile__union",
    "contentType": "application/vnd.adobe.xed+json;version=1",
}


class Request(NamedTuple):
    """What differs between the requests of operations."""

    method: str
    path: str
    query: Query = ()
    body: Any = None
    """None: no body at all."""
    headers: tuple[tuple[str, str], ...] = ()
    """Beside those that every request has."""


def datasets(limit: int, start: int, order: str = "asc:created,asc:name", *filters: tuple[str, str]) -> Request:
    return Request("GET", DATASETS, (("limit", str(limit)), ("start", str(start)), ("orderBy", order), *filters))


def jobs(*query: tuple[str, str]) -> Request:
    return Request("GET", JOBS, query)


ONE = Request("GET", f"{DATASETS}/{NEWSLETTER}")


def only(field: str, op: str, text: str, **query: Any) -> ListQuery:
    return ListQuery(terms=(Term(field, op, text),), **query)


def edit(*paths: str, **fields: Any) -> Edit[Destination]:
    """Return what sets *fields* and says that *paths* differ."""

    def change(current: Destination) -> Change[Destination]:
        merged = Destination()
        merged.CopyFrom(current)
        merged.MergeFrom(ParseDict(fields, Destination()))
        return Change(current=current, merged=merged, paths=frozenset(paths), settled=not paths)

    return change


async def create(adapter: AdobeAdapter, *, validate_only: bool = False, **fields: Any) -> Destination:
    wanted = ParseDict({"display_name": "Profile Data Export", **fields}, Destination())
    return await adapter.create_destination(wanted, validate_only=validate_only)


async def delete(adapter: AdobeAdapter, *, validate_only: bool = False) -> Destination:
    name = f"connections/cdp/destinations/{NEWSLETTER}"
    return await adapter.delete_destination(Destination(name=name), force=False, validate_only=validate_only)


# The sample request of the documentation, with a dataset and a segment that the simulator has.
EVERYTHING = {
    "destination": f"connections/cdp/destinations/{NEWSLETTER}",
    "audiences": [{"audience_id": SEGMENT, "namespace": "ups", "membership_states": ["realized"]}],
    "adobe": {
        "profile_fields": ["identities.id", "personalEmail.address"],
        "merge_policy_id": "timestampOrdered-none-mp",
        "merge_policy_version": 1,
        "qualification_interval": {"start_time": "2018-01-01T00:00:00Z", "end_time": "2018-02-01T00:00:00Z"},
        "profile_ingest_start_time": "2018-01-01T00:00:00Z",
        "include_empty_profiles": True,
        "events": {
            "fields": ["string"],
            "ingest_interval": {"start_time": "2018-01-01T00:00:00Z", "end_time": "2020-01-01T00:00:00Z"},
        },
        "evaluate_segments": True,
    },
}
EVERYTHING_SENT = json.loads(
    json.dumps(REQUEST)
    .replace("5b7c86968f7b6501e21ba9df", NEWSLETTER)
    .replace("52c26d0d-45f2-47a2-ab30-ed06abc981ff", SEGMENT)
)
MARKED = (("x-request-id", "0a1b2c3d"),)


async def run(adapter: AdobeAdapter, *, validate_only: bool = False, **changes: Any) -> ExportJob:
    wanted = ParseDict({**EVERYTHING, **changes}, ExportJob())
    return await adapter.create_export_job(wanted, marker="0a1b2c3d", validate_only=validate_only)


OPERATIONS: dict[str, tuple[Callable[[AdobeAdapter], Awaitable[object]], list[Request]]] = {
    "check": (
        lambda a: a.check_connection(),
        [jobs(("limit", "1"))],
    ),
    "list destinations": (
        lambda a: a.list_destinations(ListQuery(), "", 20),
        [datasets(20, 0), datasets(100, 20)],
    ),
    "list destinations, more than Catalog gives at once": (
        lambda a: a.list_destinations(ListQuery(), "", 500),
        [datasets(100, 0), datasets(100, 100)],
    ),
    "list destinations by name": (
        lambda a: a.list_destinations(ListQuery(order_by="display_name", descending=True), "", 20),
        [datasets(20, 0, "desc:name,desc:created"), datasets(100, 20, "desc:name,desc:created")],
    ),
    "list destinations by time": (
        lambda a: a.list_destinations(ListQuery(order_by="create_time"), "", 20),
        [datasets(20, 0), datasets(100, 20)],
    ),
    "list destinations of a name": (
        lambda a: a.list_destinations(only("display_name", "=", "Example shop archive"), "", 20),
        [datasets(20, 0, "asc:created,asc:name", ("name", "Example shop archive"))],
    ),
    "list destinations whose name has a text": (
        lambda a: a.list_destinations(only("display_name", ":", "archive"), "", 20),
        [datasets(20, 0), datasets(100, 20)],
    ),
    "list destinations of a name that Catalog would read otherwise": (
        lambda a: a.list_destinations(only("display_name", "=", "!a*,b"), "", 20),
        [datasets(20, 0), datasets(100, 20)],
    ),
    "list destinations, FULL": (
        lambda a: a.list_destinations(ListQuery(full=True), "", 20),
        [datasets(20, 0), datasets(100, 20), jobs(("limit", "100"))],
    ),
    "get destination": (
        lambda a: a.get_destination(NEWSLETTER),
        [ONE],
    ),
    "get destination, FULL": (
        lambda a: a.get_destination(NEWSLETTER, full=True),
        [ONE, jobs(("limit", "100"))],
    ),
    "create destination": (
        lambda a: create(a, description="Made by a test", adobe={"tags": {"team": ["crm", "web"]}}),
        [
            Request(
                "POST",
                DATASETS,
                body={
                    "name": "Profile Data Export",
                    "schemaRef": UNION,
                    "description": "Made by a test",
                    "tags": {"team": ["crm", "web"]},
                },
            ),
            Request("GET", f"{DATASETS}/{{new}}"),
        ],
    ),
    "create destination, as little as it takes": (
        create,
        [
            Request("POST", DATASETS, body={"name": "Profile Data Export", "schemaRef": UNION}),
            Request("GET", f"{DATASETS}/{{new}}"),
        ],
    ),
    "create destination, validate only": (
        lambda a: create(a, validate_only=True),
        [
            Request(
                "POST",
                DATASETS,
                body={"name": "Profile Data Export", "schemaRef": UNION},
                headers=(("pragma", "validate-only"),),
            ),
        ],
    ),
    "update destination": (
        lambda a: a.update_destination(
            NEWSLETTER,
            edit(
                *("display_name", "description", "adobe.tags"),
                display_name="Updated Dataset Name",
                description="Updated description for Sample Dataset",
                adobe={"tags": {"unifiedProfile": ["enabled:true"]}},
            ),
        ),
        [
            ONE,
            Request(
                "PATCH",
                f"{DATASETS}/{NEWSLETTER}",
                body={
                    "name": "Updated Dataset Name",
                    "description": "Updated description for Sample Dataset",
                    "tags": {"adobe/pqs/table": ["example_table_5"], "unifiedProfile": ["enabled:true"]},
                },
                headers=(("if-match", '"1.0.0"'),),
            ),
            ONE,
        ],
    ),
    "update destination, nothing differs": (
        lambda a: a.update_destination(NEWSLETTER, edit()),
        [ONE],
    ),
    "delete destination": (
        delete,
        [Request("DELETE", f"{DATASETS}/{NEWSLETTER}")],
    ),
    "delete destination, validate only": (
        lambda a: delete(a, validate_only=True),
        [],
    ),
    "list export jobs": (
        lambda a: a.list_export_jobs(ListQuery(), "", 50),
        [jobs(("limit", "50"))],
    ),
    "list export jobs, more than Adobe is asked for at once": (
        lambda a: a.list_export_jobs(ListQuery(full=True), "", 500),
        [jobs(("limit", "100"))],
    ),
    "list export jobs, the next page": (
        lambda a: a.list_export_jobs(ListQuery(), "1540974701302_96", 50),
        [jobs(("limit", "50"), ("offset", "1540974701302_96"))],
    ),
    "list export jobs that succeeded": (
        lambda a: a.list_export_jobs(only("state", "=", "SUCCEEDED"), "", 50),
        [jobs(("limit", "50"), ("status", "SUCCEEDED"))],
    ),
    "list export jobs that failed, the next page": (
        lambda a: a.list_export_jobs(only("state", "=", "FAILED"), "1540974701302_96", 50),
        [jobs(("limit", "50"), ("offset", "1540974701302_96"), ("status", "FAILED"))],
    ),
    "list export jobs that wait: NEW alone would miss what is queued": (
        lambda a: a.list_export_jobs(only("state", "=", "PENDING"), "", 50),
        [jobs(("limit", "50"))],
    ),
    "list export jobs that did not succeed": (
        lambda a: a.list_export_jobs(only("state", "!=", "SUCCEEDED"), "", 50),
        [jobs(("limit", "50"))],
    ),
    "run export with everything there is to say": (
        run,
        [Request("POST", JOBS, body=EVERYTHING_SENT, headers=MARKED)],
    ),
    "run export, a batch for each segment": (
        lambda a: run(a, adobe={"segment_per_batch": True}),
        [
            Request(
                "POST",
                JOBS,
                body={
                    "filter": {"segments": [{"segmentId": SEGMENT, "segmentNs": "ups", "status": ["realized"]}]},
                    "destination": {"datasetId": NEWSLETTER, "segmentPerBatch": True},
                    "schema": {"name": "_xdm.context.profile"},
                },
                headers=MARKED,
            )
        ],
    ),
    "run export of everybody": (
        lambda a: run(a, audiences=[], adobe={"all_profiles": True, "schema_name": "_xdm.context.account"}),
        [
            Request(
                "POST",
                JOBS,
                body={
                    "destination": {"datasetId": NEWSLETTER, "segmentPerBatch": False},
                    "schema": {"name": "_xdm.context.account"},
                },
                headers=MARKED,
            )
        ],
    ),
    "run export, validate only": (
        lambda a: run(a, validate_only=True),
        [],
    ),
    "get export job": (
        lambda a: a.get_export_job("101"),
        [Request("GET", f"{JOBS}/101")],
    ),
    "get export job, FULL": (
        lambda a: a.get_export_job("101", full=True),
        [Request("GET", f"{JOBS}/101")],
    ),
    "cancel export job": (
        lambda a: a.cancel_export_job("107"),
        [Request("GET", f"{JOBS}/107"), Request("DELETE", f"{JOBS}/107"), Request("GET", f"{JOBS}/107")],
    ),
    "list log entries": (
        lambda a: a.list_export_job_log_entries("102", ListQuery(), "", 20),
        [Request("GET", f"{JOBS}/102")],
    ),
}
COMMON = {"host", "accept", "user-agent", "accept-encoding", "connection", "content-length"}
REQUIRED = {"authorization", "x-api-key", "x-gw-ims-org-id", "x-sandbox-name"}


def lower(entry: dict[str, Any]) -> dict[str, str]:
    return {name.lower(): text for name, text in entry["headers"].items()}


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_each_operation_sends_the_documented_request(adobe: Adobe, adapter: AdobeAdapter, operation: str) -> None:
    call, expected = OPERATIONS[operation]
    adobe.sandbox.set_switches(unknown_properties="refused")
    before = set(adobe.sandbox.datasets)
    await call(adapter)
    (new,) = {*adobe.sandbox.datasets} - before or {""}
    received = [
        Request(
            entry["method"],
            entry["path"].replace(new, "{new}") if new else entry["path"],
            tuple((name, value) for name, value in entry["query"]),
            json.loads(entry["body"]) if entry["body"] else None,
            tuple(item for item in lower(entry).items() if item[0] not in {*COMMON, *REQUIRED, "content-type"}),
        )
        for entry in adobe.calls
    ]
    assert received == expected
    assert all(entry["status"] in {200, 201} for entry in adobe.sandbox.journal)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_each_request_has_the_four_required_headers(adobe: Adobe, adapter: AdobeAdapter, operation: str) -> None:
    await OPERATIONS[operation][0](adapter)
    for entry in adobe.calls:
        headers = lower(entry)
        assert re.fullmatch(r"Bearer sandbox-\w+", headers["authorization"])
        assert headers["x-api-key"] == "sandbox-client-id"
        assert headers["x-gw-ims-org-id"] == "EXAMPLE00000000000000000@AdobeOrg"
        assert headers["x-sandbox-name"] == "prod"
        assert headers["accept-encoding"] == "identity"
        assert headers.get("content-type", "") == ("application/json" if entry["body"] else "")


def test_every_documented_operation_is_among_them() -> None:
    requests = [request for _, expected in OPERATIONS.values() for request in expected]
    assert {f"{request.method} {re.sub('[0-9a-f{}new]{3,}$', '{}', request.path)}" for request in requests} == {
        "GET /data/core/ups/export/jobs",
        "POST /data/core/ups/export/jobs",
        "GET /data/core/ups/export/jobs/{}",
        "DELETE /data/core/ups/export/jobs/{}",
        "GET /data/foundation/catalog/dataSets",
        "POST /data/foundation/catalog/dataSets",
        "GET /data/foundation/catalog/dataSets/{}",
        "PATCH /data/foundation/catalog/dataSets/{}",
        "DELETE /data/foundation/catalog/dataSets/{}",
    }


async def test_the_login_is_a_form_with_a_comma_separated_scope_and_no_other_header(
    adobe: Adobe, adapter: AdobeAdapter
) -> None:
    await adapter.check_connection()
    login = adobe.sandbox.journal[0]
    assert (login["method"], login["path"], login["query"]) == ("POST", LOGIN, [])
    assert dict(parse_qsl(login["body"], strict_parsing=True)) == {
        "grant_type": "client_credentials",
        "client_id": "sandbox-client-id",
        "client_secret": "sandbox-client-secret",
        "scope": "openid,session,AdobeID,read_organizations,additional_info.projectedProductContext",
    }
    assert lower(login)["content-type"] == "application/x-www-form-urlencoded"
    assert lower(login).keys() <= {*COMMON, "content-type"}


async def test_every_page_after_the_first_overlaps_by_one(adobe: Adobe, adapter: AdobeAdapter) -> None:
    page = await adapter.list_destinations(ListQuery(), "", 3)
    await adapter.list_destinations(ListQuery(), page.next_cursor, 3)
    # The third is dataset 9 of 110; the page after it begins there.
    expected = [datasets(3, 0), datasets(100, 3), datasets(4, 8), datasets(100, 12)]
    assert [entry["query"] for entry in adobe.calls] == [list(map(list, one.query)) for one in expected]


async def test_the_mark_can_be_left_out(adobe: Adobe) -> None:
    await run(adobe.connect(mark_exports=False))
    wanted = ParseDict(EVERYTHING, ExportJob())
    await adobe.connect().create_export_job(wanted, marker="", validate_only=False)
    assert len(adobe.calls) == 2
    assert not [entry for entry in adobe.calls if "x-request-id" in lower(entry)]


async def test_ids_are_escaped_whole(adobe: Adobe, adapter: AdobeAdapter) -> None:
    for hostile in ("../batches", "a/b", "%2F", "x?y=1#z", f"{NEWSLETTER},{NEWSLETTER}"):
        with pytest.raises(NotFound):
            await adapter.get_destination(names.join_id(hostile))
        with pytest.raises(NotFound):
            await adapter.get_export_job(names.join_id(hostile))
    with pytest.raises(InvalidRequest):
        await adapter.get_destination(names.join_id(".."))
    assert [entry["path"].removeprefix(DATASETS) for entry in adobe.calls][::2] == [
        "/..%2Fbatches",
        "/a%2Fb",
        "/%252F",
        "/x%3Fy%3D1%23z",
        f"/{NEWSLETTER}%2C{NEWSLETTER}",
    ]


async def test_the_audience_of_a_run_has_what_was_said_of_it(adobe: Adobe, adapter: AdobeAdapter) -> None:
    job = ParseDict({**EVERYTHING, "adobe": {}}, ExportJob())
    del job.audiences[:]
    job.audiences.extend([ExportAudience(audience_id=SEGMENT), ExportAudience(audience_id="7", namespace="AAM")])
    await adapter.create_export_job(job, marker="", validate_only=False)
    assert json.loads(adobe.calls[-1]["body"])["filter"]["segments"] == [
        {"segmentId": SEGMENT},
        {"segmentId": "7", "segmentNs": "AAM"},
    ]
