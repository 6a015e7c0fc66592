"""What Segment takes and sends: its operations, and the JSON of their answers.

https://docs.segmentapis.com/tag/Destinations, …/tag/Reverse-ETL, …/tag/Pagination, …/tag/Error-Handling, and the models
of the vendor's own clients. An answer is `{"data": …}` or `{"errors": […]}`. What is required here is what the models
require and the contract can't do without; any other key may be absent or null.
"""

from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Json = dict[str, Any]
Count = str | int | None
"""Counts of syncs arrive as texts."""


class _Entity(msgspec.Struct, kw_only=True, rename="camel"):
    extras: Json = msgspec.field(default_factory=dict, name="(extras)")
    """The keys that are not modelled; filled in the FULL view, never decoded."""


class Metadata(_Entity, kw_only=True):
    """A destination's entry in the catalog."""

    id: str


class Destination(_Entity, kw_only=True):
    """A destination. Secrets in its settings are masked, and defaults are added."""

    id: str
    enabled: bool
    source_id: str
    metadata: Metadata
    name: str | None = None
    settings: Json = {}


class Schedule(msgspec.Struct):
    """When a model is synced."""

    strategy: str
    config: Json | None = None


class Subscription(_Entity, kw_only=True):
    """A destination subscription."""

    id: str
    enabled: bool
    action_id: str
    destination_id: str | None = None
    name: str | None = None
    action_slug: str | None = None
    trigger: str | None = None
    settings: Json | None = None
    model_id: str | None = None
    schedule: Schedule | None = msgspec.field(default=None, name="reverseETLSchedule")


class Extract(_Entity, kw_only=True):
    """The first phase of a sync."""

    extract_count: Count = None
    added_count: Count = None
    updated_count: Count = None
    deleted_count: Count = None
    error_code: str | None = None


class Load(_Entity, kw_only=True):
    """The second phase of a sync."""

    deliver_success_count: Count = None
    deliver_failure_count: Count = None
    error_code: str | None = None


class Sync(_Entity, kw_only=True):
    """One Reverse ETL sync."""

    sync_id: str
    sync_status: str
    model_id: str | None = None
    source_id: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    extract_phase: Extract | None = None
    load_phase: Load | None = None
    error: str | None = None
    error_code: str | None = None


class Part(msgspec.Struct, rename="camel"):
    """A part of a metric."""

    metric_name: str
    value: float


class Metric(msgspec.Struct, rename="camel"):
    """One total over a window of time."""

    metric_name: str
    total: float
    breakdown: list[Part] | None = None


class Pagination(msgspec.Struct):
    """Where a page stands."""

    next: str | None = None
    """Absent or null on the last page."""


class Data(msgspec.Struct, Generic[T_co]):
    """The envelope of what was asked for."""

    data: T_co


class Many(msgspec.Struct, Generic[T], kw_only=True):
    """One page of a list."""

    rows: list[T]
    pagination: Pagination | None = None


class Destinations(Many[Destination], kw_only=True):
    """One page of destinations."""

    rows: list[Destination] = msgspec.field(name="destinations")


class Subscriptions(Many[Subscription], kw_only=True):
    """One page of a destination's subscriptions."""

    rows: list[Subscription] = msgspec.field(name="subscriptions")


class Syncs(Many[Sync], kw_only=True):
    """One page of a subscription's syncs."""

    rows: list[Sync] = msgspec.field(name="syncStatuses")


class OneDestination(msgspec.Struct):
    """A destination, read or written."""

    destination: Destination


class OneSubscription(msgspec.Struct):
    """A subscription, read or updated."""

    subscription: Subscription


class NewSubscription(msgspec.Struct):
    """A subscription that was made."""

    subscription: Subscription = msgspec.field(name="destinationSubscription")


class OneSync(msgspec.Struct):
    """How a sync stands."""

    sync: Sync = msgspec.field(name="reverseETLSyncStatus")


class Started(msgspec.Struct, rename="camel"):
    """The first that is known of a sync."""

    sync_id: str
    started_at: str | None = None


class NewSync(msgspec.Struct):
    """A sync that was started."""

    sync: Started = msgspec.field(name="reverseETLManualSync")


class Cancel(msgspec.Struct, rename="camel"):
    """What came of a cancel: a state, or the code of a refusal."""

    status: str | None = None
    error_code: str | None = None


class Summary(msgspec.Struct):
    """The metrics of a destination."""

    metrics: list[Metric]


class OneSummary(msgspec.Struct):
    """The metrics of a destination, as they are answered."""

    summary: Summary = msgspec.field(name="deliveryMetricsSummary")


class Workspace(msgspec.Struct):
    """What a token opens."""

    slug: str


class OneWorkspace(msgspec.Struct):
    """What a token opens, as it is answered."""

    workspace: Workspace


class Removed(msgspec.Struct):
    """What a deletion answers."""

    status: str | None = None


class Problem(msgspec.Struct):
    """One thing that is wrong; `type` is no stable list of words."""

    type: str | None = None
    message: str | None = None
    field: str | None = None
    data: Any = None


class Problems(msgspec.Struct):
    """What an error answers."""

    errors: list[Problem]


class Operation(NamedTuple, Generic[T_co]):
    """One documented call."""

    method: str
    path: str
    version: str
    """The media type that it is asked and answered in."""
    reply: type[T_co]


STABLE, BETA, ALPHA = (f"application/vnd.segment.v1{word}+json" for word in ("", "beta", "alpha"))

GET_WORKSPACE = Operation("GET", "/", STABLE, Data[OneWorkspace])
LIST_DESTINATIONS = Operation("GET", "/destinations", STABLE, Data[Destinations])
CREATE_DESTINATION = Operation("POST", "/destinations", STABLE, Data[OneDestination])
GET_DESTINATION = Operation("GET", "/destinations/{}", STABLE, Data[OneDestination])
UPDATE_DESTINATION = Operation("PATCH", "/destinations/{}", STABLE, Data[OneDestination])
DELETE_DESTINATION = Operation("DELETE", "/destinations/{}", STABLE, Data[Removed])
GET_METRICS = Operation("GET", "/destinations/{}/delivery-metrics", BETA, Data[OneSummary])
LIST_SUBSCRIPTIONS = Operation("GET", "/destinations/{}/subscriptions", ALPHA, Data[Subscriptions])
CREATE_SUBSCRIPTION = Operation("POST", "/destinations/{}/subscriptions", ALPHA, Data[NewSubscription])
GET_SUBSCRIPTION = Operation("GET", "/destinations/{}/subscriptions/{}", ALPHA, Data[OneSubscription])
UPDATE_SUBSCRIPTION = Operation("PATCH", "/destinations/{}/subscriptions/{}", ALPHA, Data[OneSubscription])
DELETE_SUBSCRIPTION = Operation("DELETE", "/destinations/{}/subscriptions/{}", ALPHA, Data[Removed])
START_SYNC = Operation("POST", "/reverse-etl-syncs", ALPHA, Data[NewSync])
GET_SYNC = Operation("GET", "/reverse-etl-models/{}/syncs/{}", ALPHA, Data[OneSync])
LIST_SYNCS = Operation("GET", "/reverse-etl-models/{}/subscriptionId/{}/syncs", ALPHA, Data[Syncs])
CANCEL_SYNC = Operation("POST", "/reverse-etl-models/{}/syncs/{}/cancel", ALPHA, Data[Cancel])
