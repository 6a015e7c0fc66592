"""Segment's Public API as published: the last official document, with what its newer clients differ in."""

from typing import Any

from adapters.sandbox import Sandbox
from adapters.segment.adapter import SegmentAdapter
from adapters.segment.sandbox import SUITE, SegmentSandbox
from tests.contract.exploring import Seeds
from tests.contract.flaws import Flaw, Repair
from tests.contract.published import Published, Sender
from tests.vendors.segment.test_requests import OPERATIONS
from tests.vendors.segment.workspace import Segment

SOURCE, OTHER_SOURCE, MODEL = "ExampleSourceDwh000002", "ExampleSourceWeb000001", "ExampleModel0000000202"
LETTERS, STREAM = "00000000000000000000ca02", "00000000000000000000ca03"
DESTINATION: dict[str, Any] = {
    "sourceId": SOURCE,
    "metadataId": LETTERS,
    "enabled": True,
    "name": "Example",
    "settings": {"accountId": "example"},
}
SUBSCRIPTION: dict[str, Any] = {
    "name": "Example",
    "actionId": "ExampleAction000000301",
    "trigger": 'type = "track"',
    "enabled": True,
    "settings": {"email": "$.email"},
    "modelId": MODEL,
}
SUBSCRIPTION_CHANGE: dict[str, Any] = {
    "name": "Example",
    "trigger": 'type = "track"',
    "enabled": False,
    "settings": {"email": "$.email"},
    "reverseETLModelId": MODEL,
    "reverseETLSchedule": {"strategy": "PERIODIC", "config": {"interval": "30m"}},
}
SECOND_STREAM = DESTINATION | {"sourceId": OTHER_SOURCE, "metadataId": STREAM, "settings": {"stream": "example"}}


def seeds(_: Sandbox) -> Seeds:
    return Seeds(
        headers={"Authorization": "Bearer sandbox-token"},
        parameters={
            "path.destinationId": [SUITE["destination_id"], SUITE["disabled_destination_id"]],
            "path.id": [SUITE["subscription_id"]],
            "path.sourceId": [SOURCE],
            "path.destinationMetadataId": [LETTERS],
            "query.sourceId": [SOURCE],
            "query.startTime": ["2025-12-31T23:00:00Z", "2025-01-01T00:00:00Z", "yesterday"],
            "query.endTime": ["2026-01-01T00:00:00Z", "now"],
            "body.sourceId": [SOURCE],
            "body.actionId": [SUBSCRIPTION["actionId"]],
            "body.modelId": [MODEL],
        },
        bodies={
            f"POST {DESTINATIONS}": [DESTINATION, SECOND_STREAM],
            f"PATCH {ONE}": [{"name": "Example", "enabled": False, "settings": {}}],
            f"POST {SUBSCRIPTIONS}": [SUBSCRIPTION],
            f"PATCH {SUBSCRIPTIONS}/{{id}}": [{"input": SUBSCRIPTION_CHANGE}, {"input": {"reverseETLSchedule": {}}}],
            "POST /sources": [
                {"slug": slug, "name": "Example", "enabled": True, "metadataId": "ExampleWeb", "settings": {}}
                for slug in ("example", "web")
            ],
            "PATCH /sources/{sourceId}": [
                {"sourceId": SOURCE, "name": "Example", "slug": slug, "enabled": False, "settings": {}}
                for slug in ("example", "web")
            ],
        },
    )


DESTINATIONS = "/destinations"
ONE = f"{DESTINATIONS}/{{destinationId}}"
SUBSCRIPTIONS = f"{ONE}/subscriptions"
METRICS = f"GET {ONE}/delivery-metrics"
LISTS = (
    f"GET {DESTINATIONS}",
    f"GET {SUBSCRIPTIONS}",
    "GET /sources",
    "GET /sources/{sourceId}/connected-destinations",
    "GET /catalog/destinations",
)
ALL = (
    *(*LISTS, METRICS, "GET /", f"POST {DESTINATIONS}", f"POST {SUBSCRIPTIONS}", "POST /sources"),
    *(f"{method} {ONE}" for method in ("GET", "PATCH", "DELETE")),
    *(f"{method} {SUBSCRIPTIONS}/{{id}}" for method in ("GET", "PATCH", "DELETE")),
    *(f"{method} /sources/{{sourceId}}" for method in ("GET", "PATCH", "DELETE")),
    "GET /catalog/destinations/{destinationMetadataId}",
)

REFUSED = "RejectedPositiveData"
ANSWER_FLAWS = (
    Flaw(ALL, "UndefinedStatusCode", "401", "a missing or wrong token is answered so, by the page on errors"),
    Flaw(
        (f"POST {DESTINATIONS}", "POST /sources", "PATCH /sources/{sourceId}"),
        "UndefinedStatusCode",
        "409",
        "the page on errors has it for conflicts: a slug that is taken, a second destination where one is allowed",
    ),
    Flaw(
        LISTS,
        REFUSED,
        '422 "cursor" is not one of this list',
        "the document takes any text for a cursor; its description says that it comes from an answer",
    ),
    Flaw(
        (METRICS,),
        REFUSED,
        '422 "(start|end)Time" must be in ISO 8601 date format',
        "only the description says what times look like",
    ),
    Flaw(
        (METRICS,),
        REFUSED,
        '422 The time range must be at most .*|422 "startTime" must be at most .* in the past',
        "only descriptions say which windows there are, in newer clients others; the default start of DAY is in none",
    ),
    Flaw(
        (f"POST {DESTINATIONS}",),
        REFUSED,
        '422 "(accountId|apiKey|stream)" is required',
        "the catalog says which settings a destination needs, the document takes any",
    ),
    Flaw(
        (f"POST {SUBSCRIPTIONS}",),
        REFUSED,
        '422 "actionId" must be one of the actions of the destination',
        "the catalog says which actions a destination has",
    ),
    Flaw(
        (f"PATCH {SUBSCRIPTIONS}/{{id}}",),
        REFUSED,
        '422 "strategy" (is required|must be .*)',
        "the document takes any object for a schedule; newer clients say what is in it",
    ),
    Flaw(
        ("PATCH /sources/{sourceId}",),
        "AcceptedNegativeData",
        ".*(sourceId|required).*",
        "the body needs a sourceId that the document does not define; newer clients have none",
    ),
)

PUBLIC_API = Published(
    file="segment-public-api.yaml",
    simulator=SegmentSandbox,
    seeds=seeds,
    switches={"rate_limits": False},
    answer_flaws=ANSWER_FLAWS,
    repairs=(
        Repair(
            LISTS,
            ("pagination",),
            {"style": "deepObject", "explode": False},
            {"explode": True},
            "OpenAPI has deepObject exploded only, and so it is sent: pagination[count]",
        ),
        Repair(
            (METRICS,),
            ("sourceId", "startTime", "endTime", "granularity"),
            {"style": "deepObject"},
            {"style": "form"},
            "OpenAPI has deepObject for objects only; texts are sent as they are",
        ),
    ),
    request_flaws=(
        Flaw(
            (f"PATCH {SUBSCRIPTIONS}/{{id}}",),
            "InvalidRequestBody",
            r"\$\.input\.reverseETLSchedule: Additional properties .* unexpected\)",
            "the document says that a schedule is an object, and not what is in it; newer clients do",
        ),
    ),
)
NO_SYNCS = "newer clients have it, and the last document that was published has no Reverse ETL"
SENDER = Sender(
    adapter=SegmentAdapter,
    documents=(PUBLIC_API,),
    addresses={"base_url": PUBLIC_API},
    connectable=Segment,
    calls={name: call for name, (call, _) in OPERATIONS.items()},
    undocumented={
        "POST /reverse-etl-syncs": NO_SYNCS,
        "GET /reverse-etl-models/*/syncs/*": NO_SYNCS,
        "GET /reverse-etl-models/*/subscriptionId/*/syncs": NO_SYNCS,
        "POST /reverse-etl-models/*/syncs/*/cancel": NO_SYNCS,
    },
)
