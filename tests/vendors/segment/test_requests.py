"""The requests that each operation sends, as the simulator received them; expected values are the documentation's."""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
import pytest
from google.protobuf.json_format import ParseDict

from adapters import names
from adapters.base import ListQuery
from adapters.errors import InvalidRequest, NotFound
from adapters.secrets import Secret
from adapters.segment.adapter import SegmentAdapter, SegmentSettings
from audiencegateway.v1.destinations_pb2 import Destination, QueryDeliveryMetricsRequest, Subscription
from gateway.settings import SettingsError, connection_in_plain_text
from tests.vendors.segment import models
from tests.vendors.segment.workspace import (
    ADS,
    BENCH,
    CARTS,
    CARTS_IN_ADS,
    CUSTOMERS,
    CUSTOMERS_IN_ADS,
    EMPTY,
    STREAM,
    WAREHOUSE,
    Segment,
    changing,
    job_id,
    jobs_of,
    named,
    rechanging,
    wanted,
)

V1, BETA, ALPHA = (f"application/vnd.segment.v1{word}+json" for word in ("", "beta", "alpha"))
ONE = f"/destinations/{ADS}"
SUBSCRIPTIONS = f"{ONE}/subscriptions"
SYNC = f"/reverse-etl-models/{CUSTOMERS}/syncs/example_sync_1001"
Query = tuple[tuple[str, str], ...]


class Request(NamedTuple):
    """What differs between the requests of operations."""

    method: str
    path: str
    version: str = V1
    query: Query = ()
    body: Any = None
    """None: no body at all."""


def page(count: int, cursor: str = "") -> Query:
    return (("pagination[count]", str(count)), *((("pagination[cursor]", cursor),) if cursor else ()))


def syncs(model_id: str, subscription_id: str, count: int) -> Request:
    path = f"/reverse-etl-models/{model_id}/subscriptionId/{subscription_id}/syncs"
    return Request("GET", path, ALPHA, (("count", str(count)),))


def get(path: str, version: str = V1) -> Request:
    return Request("GET", path, version)


async def create(adapter: SegmentAdapter, *, validate_only: bool = False, **fields: Any) -> Destination:
    return await adapter.create_destination(ParseDict(fields, Destination()), validate_only=validate_only)


async def delete(
    adapter: SegmentAdapter, destination_id: str, *, force: bool = False, validate_only: bool = False
) -> Destination:
    present = Destination(name=named(destination_id))
    return await adapter.delete_destination(present, force=force, validate_only=validate_only)


async def subscribe(adapter: SegmentAdapter, *, validate_only: bool = False, **fields: Any) -> Subscription:
    return await adapter.create_subscription(ADS, ParseDict(fields, Subscription()), validate_only=validate_only)


async def run(adapter: SegmentAdapter, *, validate_only: bool = False, **spec: str) -> object:
    return await adapter.create_export_job(wanted(**spec), marker="0a1b2c3d", validate_only=validate_only)


async def metrics(adapter: SegmentAdapter, **fields: Any) -> object:
    return await adapter.query_delivery_metrics(ADS, ParseDict(fields, QueryDeliveryMetricsRequest()))


LETTER = {
    "sourceId": WAREHOUSE,
    "metadataId": "00000000000000000000ca02",
    "settings": {"accountId": "a", "duplex": False},
}
TRACK = {"actionId": "ExampleAction000000302", "trigger": 'type = "track"'}

OPERATIONS: dict[str, tuple[Callable[[SegmentAdapter], Awaitable[object]], list[Request]]] = {
    "check": (lambda a: a.check_connection(), [get("/")]),
    "list destinations": (
        lambda a: a.list_destinations(ListQuery(), "", 50),
        [Request("GET", "/destinations", V1, page(50))],
    ),
    "list destinations, more than Segment is asked for at once": (
        lambda a: a.list_destinations(ListQuery(), "", 500),
        [Request("GET", "/destinations", V1, page(100))],
    ),
    "list destinations, FULL": (
        lambda a: a.list_destinations(ListQuery(full=True), "", 1),
        [
            Request("GET", "/destinations", V1, page(1)),
            Request("GET", SUBSCRIPTIONS, ALPHA, page(100)),
            syncs(CUSTOMERS, CUSTOMERS_IN_ADS, 10),
            syncs(CARTS, CARTS_IN_ADS, 10),
        ],
    ),
    "get destination": (lambda a: a.get_destination(ADS), [get(ONE)]),
    "get destination, FULL": (
        lambda a: a.get_destination(EMPTY, full=True),
        [get(f"/destinations/{EMPTY}"), Request("GET", f"/destinations/{EMPTY}/subscriptions", ALPHA, page(100))],
    ),
    "create destination": (
        lambda a: create(a, displayName="Letters", segment=LETTER),
        [
            Request(
                "POST",
                "/destinations",
                body={
                    "sourceId": WAREHOUSE,
                    "metadataId": "00000000000000000000ca02",
                    "name": "Letters",
                    "enabled": True,
                    "settings": {"accountId": "a", "duplex": False},
                },
            )
        ],
    ),
    "create destination, disabled and without a name": (
        lambda a: create(a, disabled=True, segment=LETTER),
        [Request("POST", "/destinations", body={**LETTER, "enabled": False})],
    ),
    "create destination, validate only": (lambda a: create(a, segment=LETTER, validate_only=True), []),
    "update destination": (
        lambda a: a.update_destination(
            ADS,
            changing(
                displayName="Ads",
                disabled=True,
                segment={"settings": {"eventUploadThreshold": 31, "endpoint": "https://x", "retarget": True}},
            ),
        ),
        [
            get(ONE),
            Request(
                "PATCH",
                ONE,
                body={
                    "name": "Ads",
                    "enabled": False,
                    "settings": {"eventUploadThreshold": 31, "endpoint": "https://x"},
                },
            ),
        ],
    ),
    "update destination, its name alone": (
        lambda a: a.update_destination(ADS, changing("display_name", displayName="Ads", disabled=True)),
        [get(ONE), Request("PATCH", ONE, body={"name": "Ads"})],
    ),
    "update destination, without a name and a setting": (
        lambda a: a.update_destination(
            ADS, changing("display_name", "segment.settings", segment={"settings": {"retarget": None}})
        ),
        [get(ONE), Request("PATCH", ONE, body={"name": None, "settings": {"retarget": None}})],
    ),
    "update destination, nothing differs": (
        lambda a: a.update_destination(ADS, changing(displayName="Example shop ads")),
        [get(ONE)],
    ),
    "update destination, validate only": (
        lambda a: a.update_destination(ADS, changing(displayName="Ads", validate_only=True)),
        [get(ONE)],
    ),
    "delete destination": (
        lambda a: delete(a, EMPTY),
        [
            Request("GET", f"/destinations/{EMPTY}/subscriptions", ALPHA, page(1)),
            Request("DELETE", f"/destinations/{EMPTY}"),
        ],
    ),
    "delete destination, force": (lambda a: delete(a, ADS, force=True), [Request("DELETE", ONE)]),
    "delete destination, validate only": (lambda a: delete(a, ADS, validate_only=True), []),
    "metrics": (
        metrics,
        [
            get(ONE),
            Request(
                "GET",
                f"{ONE}/delivery-metrics",
                BETA,
                (("sourceId", WAREHOUSE), ("startTime", "2025-12-31T23:00:00.000Z"), ("granularity", "MINUTE")),
            ),
        ],
    ),
    "metrics, all said": (
        lambda a: metrics(
            a,
            interval={"startTime": "2025-12-30T01:02:03.456789Z", "endTime": "2025-12-31T00:00:00Z"},
            granularity="DAY",
            sourceId=WAREHOUSE,
        ),
        [
            Request(
                "GET",
                f"{ONE}/delivery-metrics",
                BETA,
                (
                    ("sourceId", WAREHOUSE),
                    ("startTime", "2025-12-30T01:02:03.456Z"),
                    ("endTime", "2025-12-31T00:00:00.000Z"),
                    ("granularity", "DAY"),
                ),
            )
        ],
    ),
    "list subscriptions": (
        lambda a: a.list_subscriptions(ADS, ListQuery(), "", 50),
        [Request("GET", SUBSCRIPTIONS, ALPHA, page(50))],
    ),
    "get subscription": (
        lambda a: a.get_subscription(ADS, CUSTOMERS_IN_ADS),
        [get(f"{SUBSCRIPTIONS}/{CUSTOMERS_IN_ADS}", ALPHA)],
    ),
    "create subscription": (
        lambda a: subscribe(a, displayName="Orders", segment=TRACK),
        [Request("POST", SUBSCRIPTIONS, ALPHA, body={"name": "Orders", "enabled": True, **TRACK})],
    ),
    "create subscription, of a model": (
        lambda a: subscribe(
            a,
            displayName="Orders",
            disabled=True,
            segment={**TRACK, "modelId": CARTS, "settings": {"eventName": {"@path": "$.name"}}},
        ),
        [
            Request(
                "POST",
                SUBSCRIPTIONS,
                ALPHA,
                body={
                    "name": "Orders",
                    "enabled": False,
                    "modelId": CARTS,
                    "settings": {"eventName": {"@path": "$.name"}},
                    **TRACK,
                },
            )
        ],
    ),
    "create subscription, validate only": (
        lambda a: subscribe(a, displayName="Orders", segment=TRACK, validate_only=True),
        [],
    ),
    "update subscription": (
        lambda a: a.update_subscription(
            ADS,
            CUSTOMERS_IN_ADS,
            rechanging(
                displayName="People",
                disabled=True,
                segment={
                    "trigger": 'type = "identify"',
                    "settings": {"batchSize": 500},
                    "modelId": CARTS,
                    "schedule": {"strategy": "PERIODIC", "config": {"interval": "30m"}},
                },
            ),
        ),
        [
            get(f"{SUBSCRIPTIONS}/{CUSTOMERS_IN_ADS}", ALPHA),
            Request(
                "PATCH",
                f"{SUBSCRIPTIONS}/{CUSTOMERS_IN_ADS}",
                ALPHA,
                body={
                    "input": {
                        "name": "People",
                        "enabled": False,
                        "trigger": 'type = "identify"',
                        "settings": {"batchSize": 500},
                        "reverseETLModelId": CARTS,
                        "reverseETLSchedule": {"strategy": "PERIODIC", "config": {"interval": "30m"}},
                    }
                },
            ),
        ],
    ),
    "update subscription, its strategy alone": (
        lambda a: a.update_subscription(
            ADS,
            CARTS_IN_ADS,
            rechanging("segment.schedule.strategy", segment={"schedule": {"strategy": "MANUAL"}}),
        ),
        [
            get(f"{SUBSCRIPTIONS}/{CARTS_IN_ADS}", ALPHA),
            Request(
                "PATCH",
                f"{SUBSCRIPTIONS}/{CARTS_IN_ADS}",
                ALPHA,
                body={"input": {"reverseETLSchedule": {"strategy": "MANUAL"}}},
            ),
        ],
    ),
    "update subscription, nothing differs": (
        lambda a: a.update_subscription(ADS, CUSTOMERS_IN_ADS, rechanging(segment={"modelId": CUSTOMERS})),
        [get(f"{SUBSCRIPTIONS}/{CUSTOMERS_IN_ADS}", ALPHA)],
    ),
    "delete subscription": (
        lambda a: a.delete_subscription(ADS, CUSTOMERS_IN_ADS),
        [Request("DELETE", f"{SUBSCRIPTIONS}/{CUSTOMERS_IN_ADS}", ALPHA)],
    ),
    "list export jobs": (
        lambda a: a.list_export_jobs(jobs_of(BENCH), "", 50),
        [
            Request("GET", f"/destinations/{BENCH}/subscriptions", ALPHA, page(100)),
            syncs(CUSTOMERS, "ExampleSubscription106", 50),
        ],
    ),
    "list export jobs, FULL, more than Segment is asked for at once": (
        lambda a: a.list_export_jobs(jobs_of(BENCH, full=True), "", 500),
        [
            Request("GET", f"/destinations/{BENCH}/subscriptions", ALPHA, page(100)),
            syncs(CUSTOMERS, "ExampleSubscription106", 100),
        ],
    ),
    "start sync": (
        run,
        [
            get(f"{SUBSCRIPTIONS}/{CUSTOMERS_IN_ADS}", ALPHA),
            get(ONE),
            Request(
                "POST",
                "/reverse-etl-syncs",
                ALPHA,
                body={"sourceId": WAREHOUSE, "modelId": CUSTOMERS, "subscriptionId": CUSTOMERS_IN_ADS},
            ),
        ],
    ),
    "start sync, all said": (
        lambda a: run(a, model_id=CUSTOMERS, source_id=WAREHOUSE),
        [
            get(f"{SUBSCRIPTIONS}/{CUSTOMERS_IN_ADS}", ALPHA),
            Request(
                "POST",
                "/reverse-etl-syncs",
                ALPHA,
                body={"sourceId": WAREHOUSE, "modelId": CUSTOMERS, "subscriptionId": CUSTOMERS_IN_ADS},
            ),
        ],
    ),
    "start sync, validate only": (
        lambda a: run(a, validate_only=True),
        [get(f"{SUBSCRIPTIONS}/{CUSTOMERS_IN_ADS}", ALPHA), get(ONE)],
    ),
    "get sync": (lambda a: a.get_export_job(job_id(1001)), [get(SYNC, ALPHA)]),
    "get sync, FULL": (lambda a: a.get_export_job(job_id(1001), full=True), [get(SYNC, ALPHA)]),
    "cancel sync": (
        lambda a: a.cancel_export_job(job_id(1004)),
        [
            Request("POST", SYNC.replace("1001", "1004") + "/cancel", ALPHA, body={}),
            get(SYNC.replace("1001", "1004"), ALPHA),
        ],
    ),
}


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_each_operation_sends_the_documented_request(
    segment: Segment, adapter: SegmentAdapter, operation: str
) -> None:
    call, expected = OPERATIONS[operation]
    await call(adapter)
    received = [
        Request(
            entry["method"],
            entry["path"],
            entry["headers"]["Accept"].partition(",")[0],
            tuple((name, value) for name, value in entry["query"]),
            json.loads(entry["body"]) if entry["body"] else None,
        )
        for entry in segment.sandbox.journal
    ]
    assert received == expected
    assert {entry["status"] for entry in segment.sandbox.journal} <= {200}


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_each_request_has_the_documented_headers_and_no_other_credential(
    segment: Segment, adapter: SegmentAdapter, operation: str
) -> None:
    await OPERATIONS[operation][0](adapter)
    for entry in segment.sandbox.journal:
        headers = {name.lower(): value for name, value in entry["headers"].items()}
        version = headers["accept"].removesuffix(", application/json")
        assert version in {V1, BETA, ALPHA}
        assert headers.get("content-type") == (version if entry["body"] else None)
        assert headers["authorization"] == "Bearer sandbox-token"
        assert headers["accept-encoding"] == "identity"
        assert headers.keys() - {"accept", "content-type", "authorization", "accept-encoding"} <= {
            *("host", "user-agent", "content-length", "connection"),
        }


def test_every_documented_operation_is_among_them() -> None:
    requests = [request for _, expected in OPERATIONS.values() for request in expected]
    ids = r"00000000000000000000d\d+|ExampleSubscription\d+|ExampleModel\d+|example_sync_\d+"
    assert {f"{request.method} {re.sub(ids, '{}', request.path)}" for request in requests} == {
        "GET /",
        "GET /destinations",
        "POST /destinations",
        "GET /destinations/{}",
        "PATCH /destinations/{}",
        "DELETE /destinations/{}",
        "GET /destinations/{}/delivery-metrics",
        "GET /destinations/{}/subscriptions",
        "POST /destinations/{}/subscriptions",
        "GET /destinations/{}/subscriptions/{}",
        "PATCH /destinations/{}/subscriptions/{}",
        "DELETE /destinations/{}/subscriptions/{}",
        "POST /reverse-etl-syncs",
        "GET /reverse-etl-models/{}/subscriptionId/{}/syncs",
        "GET /reverse-etl-models/{}/syncs/{}",
        "POST /reverse-etl-models/{}/syncs/{}/cancel",
    }


INPUTS = {
    "POST /reverse-etl-syncs": models.CreateReverseETLManualSyncInput,
    "POST /reverse-etl-models/*/syncs/*/cancel": models.CancelReverseETLSyncForModelInput,
}


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if "sync" in name or "job" in name])
async def test_what_is_sent_about_syncs_is_what_the_vendors_clients_send(
    segment: Segment, adapter: SegmentAdapter, operation: str
) -> None:
    await OPERATIONS[operation][0](adapter)
    for entry in segment.sandbox.journal:
        shape = re.sub(r"(models|syncs)/[^/]+", r"\1/*", f"{entry['method']} {entry['path']}")
        if shape.endswith("/syncs"):
            assert msgspec.convert(dict(entry["query"]), models.ListReverseETLSyncStatusesQuery, strict=False).count
        elif entry["method"] == "POST":
            assert msgspec.json.decode(entry["body"], type=INPUTS[shape])


async def test_what_is_sent_to_a_subscription_is_what_the_vendors_clients_send(
    segment: Segment, adapter: SegmentAdapter
) -> None:
    for operation in ("update subscription", "update subscription, its strategy alone"):
        await OPERATIONS[operation][0](adapter)
    changes = [
        msgspec.json.decode(entry["body"], type=models.UpdateSubscriptionForDestinationAlphaInput).input
        for entry in segment.sandbox.journal
        if entry["body"]
    ]
    assert [change.reverse_etl_schedule for change in changes] == [
        models.ReverseEtlScheduleDefinition(strategy="PERIODIC", config={"interval": "30m"}),
        models.ReverseEtlScheduleDefinition(strategy="MANUAL"),
    ]


async def test_brackets_are_escaped_in_the_query(segment: Segment, adapter: SegmentAdapter) -> None:
    first = await adapter.list_destinations(ListQuery(), "", 2)
    await adapter.list_destinations(ListQuery(), first.next_cursor, 2)
    assert [entry["query_string"] for entry in segment.sandbox.journal] == [
        "pagination%5Bcount%5D=2",
        # Base64 of "1": the last item that was given is read again.
        "pagination%5Bcount%5D=3&pagination%5Bcursor%5D=MQ%3D%3D",
    ]


async def test_ids_are_escaped_whole(segment: Segment, adapter: SegmentAdapter) -> None:
    for hostile in ("../sources", "a/b", "%2F", "x?y=1#z", "\x00"):
        with pytest.raises(NotFound):
            await adapter.get_destination(names.join_id(hostile))
        with pytest.raises(NotFound):
            await adapter.get_export_job(names.join_id(hostile, hostile, hostile, hostile))
    with pytest.raises(InvalidRequest):
        await adapter.get_destination(names.join_id(".."))
    assert all(
        entry["path"].startswith(("/destinations/", "/reverse-etl-models/")) for entry in segment.sandbox.journal
    )
    assert {entry["status"] for entry in segment.sandbox.journal} == {404}


async def test_calls_go_to_the_united_states_unless_the_configuration_says_otherwise() -> None:
    assert SegmentSettings(token=Secret("x")).base_url == "https://api.segmentapis.com"


@pytest.mark.parametrize("base_url", ["api.segmentapis.com", "ftp://api.segmentapis.com", "https://", "https://x/?a=1"])
def test_an_address_that_is_none_is_refused(base_url: str) -> None:
    with pytest.raises(SettingsError, match="base_url: must be an address"):
        connection_in_plain_text({"id": "cdp", "vendor": "segment", "token": "x", "base_url": base_url})


async def test_a_destination_without_actions_has_no_subscriptions(adapter: SegmentAdapter) -> None:
    assert not (await adapter.list_subscriptions(STREAM, ListQuery(), "", 50)).items
