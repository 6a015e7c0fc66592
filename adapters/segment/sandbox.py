"""Segment's simulator, written from its documentation: destinations, subscriptions, metrics, Reverse ETL syncs.

Docs:    https://docs.segmentapis.com (read 2026-11) and the models of the vendor's own clients, 66.0.0.
Auth:    `Authorization: Bearer …`; one token is one workspace.
Paging:  count (1 to 1000) and an opaque cursor, in any of the five encodings that the vendor's clients and pages use.
Limits:  windows of a minute; 5 for each write of subscriptions, 20 syncs started, 250 looks at a sync.
Silence: where the documentation says nothing or contradicts itself there is a switch, see `SWITCHES`.
"""

import base64
import copy
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

from adapters.sandbox import (
    ApiError,
    Call,
    Handler,
    Ids,
    Invalid,
    Reply,
    Run,
    Sandbox,
    Switch,
    TokenBook,
    json_reply,
    phrase,
)

T = TypeVar("T")
Json = dict[str, Any]
Problem = tuple[str, str]
"""The path of a field, and what is wrong with it."""

MINUTE_S = 60.0
HOUR_S = 60 * MINUTE_S
DAY_S = 24 * HOUR_S

ON, OFF = (True, (True, False)), (False, (False, True))
SWITCHES = {
    "forbidden_status": Switch(401, (401, 403), "a token without the permission; 403 is not documented, but was seen"),
    "error_types": Switch(
        "docs", ("docs", "document"), "the words of `type`: of the pages, or of the OpenAPI document"
    ),
    "json_content_type": Switch("json", ("json", "versioned"), "the type of an answer to `Accept: application/json`"),
    "rate_limits": Switch(*ON, "whether a limit is enforced; requests are counted all the same"),
    "default_limit": Switch(1000, int, "requests a minute that share the default limit, which is not published"),
    "retry_after": Switch("sent", ("sent", "absent"), "Retry-After of a 429, which comes `when present`"),
    "pagination": Switch("optional", ("optional", "required"), "newer and older pages differ"),
    "max_count": Switch(1000, int, "the largest count; older pages say 200"),
    "edge_cursors": Switch(
        "absent", ("absent", "null"), "`previous` of a first page, `next` of a last: model or sample"
    ),
    "total_entries": Switch(*ON, "whether lists tell totalEntries, which they may omit"),
    "masking": Switch(
        "secrets", ("secrets", "strings", "none"), "which settings are masked; no option says it is secret"
    ),
    "masked_writes": Switch("stored", ("stored", "kept", "refused"), "a masked secret that is written back"),
    "settings_schema": Switch(
        "checked", ("checked", "free"), "are settings checked against the options of the catalog"
    ),
    "settings_update": Switch("merged", ("merged", "replaced"), "what settings of an update do to those not named"),
    "delete_in_use": Switch(
        "cascades", ("cascades", "refused"), "deleting a destination with subscriptions, a source with destinations"
    ),
    "disabled_sync_status": Switch(409, (409, 422, 200), "a sync through a disabled subscription or destination"),
    "concurrent_sync_status": Switch(200, (200, 409), "a sync of a subscription while another one is in progress"),
    "syncs_end_in": Switch("SUCCESS", ("SUCCESS", "PARTIAL_SUCCESS", "FAIL"), "how syncs end that start from now on"),
    "syncs_order": Switch("newest", ("newest", "oldest"), "which sync a list has first"),
    "sync_subscription_id": Switch(
        "subscription", ("subscription", "mapping"), "is `subscriptionId` of syncs that of the subscription, or another"
    ),
    "cancelling_s": Switch(5.0, float, "how long a cancel takes"),
    "cancelling_status": Switch("CANCELLING", ("CANCELLING", "IN_PROGRESS"), "syncStatus while a cancel takes effect"),
    "canceled_syncs": Switch(
        "fail_with_code", ("fail_with_code", "fail", "canceled"), "what a canceled sync becomes: FAIL, or CANCELED"
    ),
    "cancel_refusal_status": Switch(200, (200, 409), "a cancel of a sync that is final or being canceled"),
}

STABLE, BETA, ALPHA = VERSIONS = ("v1", "v1beta", "v1alpha")  # the most stable first
# Clients send the words of the OpenAPI document; the page on versions has others.
MEDIA_TYPES = {f"application/vnd.segment.{version}+json": version for version in VERSIONS} | {
    f"application/vnd.segment.{word}+json": version
    for word, version in zip(("stable", "beta", "alpha"), VERSIONS, strict=True)
}
JSON_TYPE = "application/json"


class Endpoint(NamedTuple):
    """What answers, in which versions, and its own limit; 0 is a share in the default limit."""

    handler: str
    versions: tuple[str, ...] = VERSIONS
    per_minute: int = 0


DESTINATION = "/destinations/{destinationId}"
SUBSCRIPTION = DESTINATION + "/subscriptions/{id}"
MODEL = "/reverse-etl-models/{modelId}"
ENDPOINTS = {
    "GET /": Endpoint("get_workspace"),
    "GET /destinations": Endpoint("list_destinations"),
    "POST /destinations": Endpoint("create_destination"),
    f"GET {DESTINATION}": Endpoint("get_destination"),
    f"PATCH {DESTINATION}": Endpoint("update_destination"),
    f"DELETE {DESTINATION}": Endpoint("delete_destination"),
    f"GET {DESTINATION}/delivery-metrics": Endpoint("list_delivery_metrics", (BETA, ALPHA)),
    f"GET {DESTINATION}/subscriptions": Endpoint("list_subscriptions", (ALPHA,)),
    f"POST {DESTINATION}/subscriptions": Endpoint("create_subscription", (ALPHA,), 5),
    f"GET {SUBSCRIPTION}": Endpoint("get_subscription", (ALPHA,)),
    f"PATCH {SUBSCRIPTION}": Endpoint("update_subscription", (ALPHA,), 5),
    f"DELETE {SUBSCRIPTION}": Endpoint("remove_subscription", (ALPHA,), 5),
    "GET /sources": Endpoint("list_sources"),
    "POST /sources": Endpoint("create_source"),
    "GET /sources/{sourceId}": Endpoint("get_source"),
    "PATCH /sources/{sourceId}": Endpoint("update_source"),
    "DELETE /sources/{sourceId}": Endpoint("delete_source"),
    "GET /sources/{sourceId}/connected-destinations": Endpoint("list_connected_destinations"),
    "GET /catalog/destinations": Endpoint("list_catalog"),
    "GET /catalog/destinations/{destinationMetadataId}": Endpoint("get_catalog_item"),
    "POST /reverse-etl-syncs": Endpoint("start_sync", (ALPHA,), 20),
    f"GET {MODEL}/syncs/{{syncId}}": Endpoint("get_sync", (ALPHA,), 250),
    f"POST {MODEL}/syncs/{{syncId}}/cancel": Endpoint("cancel_sync", (ALPHA,)),
    f"GET {MODEL}/subscriptionId/{{subscriptionId}}/syncs": Endpoint("list_syncs", (ALPHA,)),
}

# Bodies: "!" is required, "?" may be null. What is not named is let pass, as in the document.
CREATE_DESTINATION = {
    "sourceId": "string!",
    "metadataId": "string!",
    "settings": "object!",
    "enabled": "boolean",
    "name": "string",
}
UPDATE_DESTINATION = {"name": "string?", "enabled": "boolean", "settings": "object"}
CREATE_SUBSCRIPTION = {
    "name": "string!",
    "actionId": "string!",
    "trigger": "string!",
    "enabled": "boolean!",
    "settings": "object",
    "modelId": "string",
}
UPDATE_SUBSCRIPTION = {
    "name": "string",
    "trigger": "string",
    "enabled": "boolean",
    "settings": "object",
    "reverseETLModelId": "string",
    "reverseETLSchedule": "object",
}
CREATE_SOURCE = {
    "slug": "string!",
    "enabled": "boolean!",
    "metadataId": "string!",
    "name": "string",
    "settings": "object",
}
UPDATE_SOURCE = {"name": "string", "enabled": "boolean", "slug": "string", "settings": "object"}
START_SYNC = {"sourceId": "string!", "modelId": "string!", "subscriptionId": "string!"}
CANCEL_SYNC = {"reasonForCanceling": "number"}
SCHEDULE = {"strategy": "string!", "config": "object?"}

KINDS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "string": (str, "a string"),
    "boolean": (bool, "a boolean"),
    "number": ((int, float), "a number"),
    "object": (dict, "of type object"),
}
OPTION_KINDS = {"map": "object"}
"""Kinds of options that are not called as in JSON."""
STRATEGIES = ("CRON", "DBT_CLOUD", "MANUAL", "PERIODIC", "SPECIFIC_DAYS")
SHORTER_THAN_ANY_MIN, LONGER_THAN_ANY_MIN = 10, 168 * 60
"""Intervals of PERIODIC are between them."""

CANCEL_REFUSALS = {
    "ended": ("SyncFinishedCannotCancel", "sync already finished"),
    "cancelled": ("SyncAlreadyCanceled", "sync already canceled"),
}

ERROR_TYPES = {401: "Unauthorized", 404: "NotFound", 409: "Conflict", 413: "PayloadTooLarge", 422: "input-validation"}
DOCUMENT_ERROR_TYPES = {422: "ValidationFailure", 429: "RateLimited"}

BULLETS = "•" * 10
SECRETS = {"apiKey", "authToken", "signingKey"}
READ_ONLY = {"externalId"}

# Default start before now, longest range, oldest start before now. The default of DAY is outside of its own limits.
GRANULARITIES = {
    "MINUTE": (HOUR_S, 4 * HOUR_S, 48 * HOUR_S),
    "HOUR": (7 * DAY_S, 7 * DAY_S, 7 * DAY_S),
    "DAY": (30 * DAY_S, 14 * DAY_S, 14 * DAY_S),
}

TOKENS = {"sandbox-token": ("read", "write"), "sandbox-token-read-only": ("read",)}


@dataclass
class Window:
    """A minute in which requests are counted, those refused too."""

    until_s: float
    consumed: int = 0


@dataclass
class Sync:
    """One Reverse ETL sync. How far it is follows from the clock alone."""

    id: str
    model_id: str
    source_id: str
    subscription_id: str
    run: Run
    outcome: str = "SUCCESS"
    records: int = 1200


class SegmentSandbox(Sandbox):
    """The workspace of an obviously invented shop."""

    vendor = "segment"
    switch_table = SWITCHES

    def routes(self) -> Mapping[str, Handler]:
        return {route: getattr(self, endpoint.handler) for route, endpoint in ENDPOINTS.items()}

    def connection_settings(self, base_url: str) -> dict[str, Any]:
        return {"base_url": base_url, "token": "sandbox-token"}

    def seed(self) -> None:
        now = self.clock.now()
        self.ids = Ids(3001)
        self.windows: dict[tuple[str, str], Window] = {}
        self.tokens = TokenBook(self.clock)
        for value, grants in TOKENS.items():
            self.tokens.add(value, grants)
        self.catalog = {item["id"]: item for item in _catalog()}
        self.sources = {row["id"]: row for row in _seed_sources()}
        self.destinations = {row["id"]: row for row in _seed_destinations()}
        """By id, settings as they were written: here a test sees a masked value that was written back."""
        self.subscriptions = {row["id"]: row for row in _seed_subscriptions(self.catalog)}
        self.syncs = {sync.id: sync for sync in _seed_syncs(now)}

    @property
    def suite(self) -> dict[str, Any]:
        return copy.deepcopy(SUITE)

    # Access, versions and limits.

    def authorize(self, call: Call) -> None:
        scheme, _, value = call.headers.get("Authorization", "").partition(" ")
        call.token = self.tokens.live(value.strip()) if scheme.lower() == "bearer" else None
        if call.token is None:
            raise self.error(401, "The token is missing or not valid")
        endpoint = ENDPOINTS.get(call.route)
        if endpoint is None:
            return
        if call.method != "GET" and "write" not in call.token.grants:
            raise self.error(self.switches["forbidden_status"], "The token does not have the permission")
        window, limit = self._window(call)
        window.consumed += 1
        if self.switches["rate_limits"] and window.consumed > limit:
            raise self._too_many(window, limit)
        if not self._content_type(call):
            raise self.error(406, f"This endpoint has the versions {', '.join(endpoint.versions)}")
        has_body = bool(call.body) and call.method != "GET"
        content_type = call.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if has_body and content_type != JSON_TYPE and MEDIA_TYPES.get(content_type) not in endpoint.versions:
            raise self.error(415, f"{content_type or 'A body without a type'} is not accepted here")

    def stamp(self, call: Call, reply: Reply) -> None:
        reply.headers |= {"Content-Type": self._content_type(call), **self._limit_headers(*self._window(call))}

    def error(self, status: int, message: str = "", call: Call | None = None) -> ApiError:
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return self._too_many(Window(self.clock.now() + MINUTE_S, consumed=21), 20)
        return ApiError(status, {"errors": [{"type": self._type(status), "message": message or phrase(status)}]})

    def invalid(self, *problems: Problem) -> ApiError:
        """Make the error that has one entry for each problem; an empty path is the body's own."""
        kind = self._type(422)
        entries = [{"type": kind, "message": message, "field": field} for field, message in problems]
        return ApiError(422, {"errors": [{k: v for k, v in entry.items() if v} for entry in entries]})

    def _too_many(self, window: Window, limit: int) -> ApiError:
        wait_s = max(0.0, window.until_s - self.clock.now())
        data = {"remainingPoints": 0, "msBeforeNext": math.ceil(wait_s * 1000), "consumedPoints": window.consumed}
        entry = {"type": self._type(429), "message": "Too many requests", "data": data}
        headers = self._limit_headers(window, limit)
        if self.switches["retry_after"] == "sent":
            headers["Retry-After"] = str(math.ceil(wait_s))
        return ApiError(429, {"errors": [entry]}, headers)

    def _type(self, status: int) -> str:
        types = ERROR_TYPES | (DOCUMENT_ERROR_TYPES if self.switches["error_types"] == "document" else {})
        return types.get(status, "RequestError")

    def _window(self, call: Call) -> tuple[Window, int]:
        own_limit, now = ENDPOINTS[call.route].per_minute, self.clock.now()
        key = (call.token.value if call.token else "", call.route if own_limit else "")
        if key not in self.windows or now >= self.windows[key].until_s:
            self.windows[key] = Window(now + MINUTE_S)
        return self.windows[key], own_limit or self.switches["default_limit"]

    def _limit_headers(self, window: Window, limit: int) -> dict[str, str]:
        return {
            "X-RateLimit-Consumed": str(window.consumed),
            "X-RateLimit-Remaining": str(max(0, limit - window.consumed)),
            "X-RateLimit-Reset": format_datetime(datetime.fromtimestamp(math.ceil(window.until_s), UTC)),
        }

    def _content_type(self, call: Call) -> str:
        """Return the type that Accept and the endpoint agree on; empty for none."""
        versions = ENDPOINTS[call.route].versions
        most_stable = f"application/vnd.segment.{versions[0]}+json"
        plain = JSON_TYPE if self.switches["json_content_type"] == "json" else most_stable
        for wanted in _accepted(call.headers.getall("Accept", ["*/*"])):
            if wanted in {"*/*", "application/*"}:
                return most_stable
            if wanted == JSON_TYPE:
                return plain
            if MEDIA_TYPES.get(wanted) in versions:
                return f"application/vnd.segment.{MEDIA_TYPES[wanted]}+json"
        return ""

    # Workspace, sources and catalog.

    def get_workspace(self, call: Call) -> Reply:
        return _data({"workspace": WORKSPACE})

    def list_sources(self, call: Call) -> Reply:
        return self._list(call, "sources", [self._source(row, call) for row in self.sources.values()])

    def get_source(self, call: Call) -> Reply:
        return _data({"source": self._source(self._source_of(call), call), "trackingPlanId": None})

    def create_source(self, call: Call) -> Reply:
        body = self._body(call, CREATE_SOURCE)
        if body["metadataId"] not in SOURCE_CATALOG:
            raise self.error(404, "Source metadata not found")
        self._refuse_taken_slug(body["slug"])
        row = {
            "id": self.ids.hex(22),
            "slug": body["slug"],
            "name": body.get("name", body["slug"]),
            "metadata": SOURCE_CATALOG[body["metadataId"]],
            "enabled": body["enabled"],
            "writeKeys": [f"fake-write-key-{self.ids.number()}"],
            "settings": body.get("settings", {}),
        }
        self.sources[row["id"]] = row
        return _data({"source": self._source(row, call)})

    def update_source(self, call: Call) -> Reply:
        row = self._source_of(call)
        body = self._body(call, UPDATE_SOURCE)
        self._refuse_taken_slug(body.get("slug"), but=row)
        row.update({name: body[name] for name in UPDATE_SOURCE.keys() & body.keys()})
        return _data({"source": self._source(row, call)})

    def delete_source(self, call: Call) -> Reply:
        row = self._source_of(call)
        for destination in self._connected(row):
            self._refuse_delete_in_use("The source has destinations")
            self._remove_destination(destination)
        del self.sources[row["id"]]
        return _data({"status": "SUCCESS"})

    def list_connected_destinations(self, call: Call) -> Reply:
        rows = self._connected(self._source_of(call))
        return self._list(call, "destinations", [self._destination(row) for row in rows])

    def list_catalog(self, call: Call) -> Reply:
        return self._list(call, "destinationsCatalog", list(self.catalog.values()))

    def get_catalog_item(self, call: Call) -> Reply:
        return _data({"destinationMetadata": self._one(self.catalog, call.params["destinationMetadataId"])})

    def _source_of(self, call: Call) -> Json:
        return self._one(self.sources, call.params["sourceId"])

    def _refuse_taken_slug(self, slug: str | None, but: Json | None = None) -> None:
        if any(row["slug"] == slug for row in self.sources.values() if row is not but):
            raise self.error(409, "The slug is taken")

    def _connected(self, source: Json) -> list[Json]:
        return [row for row in self.destinations.values() if row["sourceId"] == source["id"]]

    def _source(self, row: Json, call: Call) -> Json:
        may_see_keys = call.token is not None and "write" in call.token.grants
        keys = row["writeKeys"] if may_see_keys else []
        return row | {"workspaceId": WORKSPACE["id"], "writeKeys": keys, "labels": []}

    # Destinations.

    def list_destinations(self, call: Call) -> Reply:
        return self._list(call, "destinations", [self._destination(row) for row in self.destinations.values()])

    def get_destination(self, call: Call) -> Reply:
        return _data({"destination": self._destination(self._destination_of(call))})

    def create_destination(self, call: Call) -> Reply:
        body = self._body(call, CREATE_DESTINATION)
        source = self._one(self.sources, body["sourceId"])
        metadata = self._one(self.catalog, body["metadataId"])
        settings = {name: value for name, value in body["settings"].items() if name not in READ_ONLY}
        self._check_settings(metadata, settings, whole=True)
        is_single = metadata["supportedFeatures"]["cloudModeInstances"] in {"1", "SINGLE"}
        if is_single and any(row["metadataId"] == metadata["id"] for row in self._connected(source)):
            raise self.error(409, "The source has such a destination, and can have one only")
        row = {
            "id": self.ids.hex(24),
            "sourceId": source["id"],
            "metadataId": metadata["id"],
            "enabled": body.get("enabled", True),
            "name": body.get("name"),
            "settings": self._written({}, settings, "settings.") | _read_only_settings(metadata),
        }
        self.destinations[row["id"]] = row
        return _data({"destination": self._destination(row)})

    def update_destination(self, call: Call) -> Reply:
        row = self._destination_of(call)
        body = self._body(call, UPDATE_DESTINATION)
        given = body.get("settings", {})
        settings = {name: value for name, value in given.items() if name not in READ_ONLY}
        if given and not settings and not body.keys() & {"name", "enabled"}:
            raise self.error(400, f"{', '.join(given)} can't be updated")
        self._check_settings(self.catalog[row["metadataId"]], settings, whole=False)
        settings = self._written(row["settings"], settings, "settings.")
        row.update({name: body[name] for name in ("name", "enabled") if name in body})
        row["settings"] = settings if "settings" in body else row["settings"]
        return _data({"destination": self._destination(row)})

    def delete_destination(self, call: Call) -> Reply:
        self._remove_destination(self._destination_of(call))
        return _data({"status": "SUCCESS"})

    def _remove_destination(self, row: Json) -> None:
        for subscription in self._subscriptions(row):
            self._refuse_delete_in_use("The destination has subscriptions")
            del self.subscriptions[subscription["id"]]
        del self.destinations[row["id"]]

    def _refuse_delete_in_use(self, message: str) -> None:
        if self.switches["delete_in_use"] == "refused":
            raise self.error(409, message)

    def _destination_of(self, call: Call) -> Json:
        return self._one(self.destinations, call.params["destinationId"])

    def _check_settings(self, metadata: Json, settings: Json, *, whole: bool) -> None:
        if self.switches["settings_schema"] == "free":
            return
        kinds = {}
        for option in metadata["options"]:
            # Null takes a setting back to its default; without a default, one is missing only where all are given.
            is_needed = whole and option["required"] and option.get("defaultValue", "") == ""
            is_needed = is_needed and option["name"] not in READ_ONLY
            kind = OPTION_KINDS.get(option["type"], option["type"])
            kinds[option["name"]] = kind + ("!" if is_needed else "?")
        if problems := list(_problems(settings, kinds, "settings.")):
            raise self.invalid(*problems)

    def _written(self, old: Json, new: Json, path: str) -> Json:
        """Return settings after a write: null takes one out."""
        masked = [name for name, value in new.items() if isinstance(value, str) and BULLETS in value]
        if masked and self.switches["masked_writes"] == "refused":
            raise self.invalid(*((f"{path}{name}", f'"{name}" is masked') for name in masked))
        if self.switches["masked_writes"] == "kept":
            new = new | {name: old.get(name) for name in masked}
        if self.switches["settings_update"] == "replaced":
            old = {name: value for name, value in old.items() if name in READ_ONLY}
        return {name: value for name, value in (old | new).items() if value is not None}

    def _destination(self, row: Json) -> Json:
        metadata = self.catalog[row["metadataId"]]
        settings = {o["name"]: o["defaultValue"] for o in metadata["options"] if "defaultValue" in o} | row["settings"]
        return {
            "id": row["id"],
            "enabled": row["enabled"],
            **({} if row["name"] is None else {"name": row["name"]}),
            "settings": self._masked(settings),
            "metadata": metadata,
            "sourceId": row["sourceId"],
        }

    def _masked(self, settings: Json) -> Json:
        masking = self.switches["masking"]

        def shown(name: str, value: object) -> object:
            is_secret = masking == "strings" or (masking == "secrets" and name in SECRETS)
            if not is_secret or not isinstance(value, str) or value == "":
                return value
            # As the samples have it: of a long one the last 4 characters, of a short one nothing.
            return BULLETS + (value[-4:] if len(value) > 4 else "")  # noqa: PLR2004 - what the comment says

        return {name: shown(name, value) for name, value in settings.items()}

    # Delivery metrics.

    def list_delivery_metrics(self, call: Call) -> Reply:
        row, now = self._destination_of(call), self.clock.now()
        granularity = call.query.get("granularity", "MINUTE")
        problems: list[Problem] = []
        if not call.query.get("sourceId"):
            problems.append(("sourceId", '"sourceId" is required'))
        if granularity not in GRANULARITIES:
            problems.append(("granularity", f'"granularity" must be one of [{", ".join(sorted(GRANULARITIES))}]'))
        default_s, range_s, oldest_s = GRANULARITIES.get(granularity, (HOUR_S, math.inf, math.inf))
        start, end = (_instant(call.query.get(name)) for name in ("startTime", "endTime"))
        for name, instant in (("startTime", start), ("endTime", end)):
            if instant is not None and math.isnan(instant):
                problems.append((name, f'"{name}" must be in ISO 8601 date format'))
        start, end = now - default_s if start is None else start, now if end is None else end
        if end <= start:
            problems.append(("endTime", '"endTime" must be after "startTime"'))
        if end - start > range_s:
            problems.append(("startTime", f"The time range must be at most {range_s / HOUR_S:.0f} hours"))
        if start < now - oldest_s:
            problems.append(("startTime", f'"startTime" must be at most {oldest_s / HOUR_S:.0f} hours in the past'))
        if problems:
            raise self.invalid(*problems)
        if call.query["sourceId"] != row["sourceId"]:
            raise self.error(404, "The source is not that of the destination")
        minutes = max(0.0, min(end, now) - start) / MINUTE_S if row["enabled"] else 0.0
        summary = {
            "sourceId": row["sourceId"],
            "destinationMetadataId": row["metadataId"],
            "metrics": _metrics(minutes),
        }
        return _data({"deliveryMetricsSummary": summary})

    # Subscriptions.

    def list_subscriptions(self, call: Call) -> Reply:
        rows = self._subscriptions(self._destination_of(call))
        return self._list(call, "subscriptions", [self._subscription(row) for row in rows])

    def get_subscription(self, call: Call) -> Reply:
        return _data({"subscription": self._subscription(self._subscription_of(call))})

    def create_subscription(self, call: Call) -> Reply:
        destination = self._destination_of(call)
        body = self._body(call, CREATE_SUBSCRIPTION)
        actions = {action["id"]: action for action in self.catalog[destination["metadataId"]]["actions"]}
        if body["actionId"] not in actions:
            raise self.invalid(("actionId", '"actionId" must be one of the actions of the destination'))
        if "modelId" in body:
            self._one(MODELS, body["modelId"])
        row = _new_subscription(self.ids.hex(22), destination["id"], actions[body["actionId"]])
        row |= {name: body[name] for name in ("name", "trigger", "enabled", "modelId") if name in body}
        row["settings"] |= body.get("settings", {})
        self.subscriptions[row["id"]] = row
        return _data({"destinationSubscription": self._subscription(row)})

    def update_subscription(self, call: Call) -> Reply:
        row = self._subscription_of(call)
        given = self._body(call, {"input": "object!"})["input"]
        problems = [*_problems(given, UPDATE_SUBSCRIPTION, "input.")]
        if not problems and "reverseETLSchedule" in given:
            problems = [*_schedule_problems(given["reverseETLSchedule"], "input.reverseETLSchedule.")]
        if problems:
            raise self.invalid(*problems)
        if "reverseETLModelId" in given:
            row["modelId"] = self._one(MODELS, given["reverseETLModelId"])["id"]
        if "reverseETLSchedule" in given:
            schedule = given["reverseETLSchedule"]
            row["reverseETLSchedule"] = {**schedule, "strategy": schedule["strategy"].upper()}
        if "settings" in given:
            row["settings"] = self._written(row["settings"], given["settings"], "input.settings.")
        row.update({name: given[name] for name in ("name", "trigger", "enabled") if name in given})
        return _data({"subscription": self._subscription(row)})

    def remove_subscription(self, call: Call) -> Reply:
        del self.subscriptions[self._subscription_of(call)["id"]]
        return _data({"status": "SUCCESS"})

    def _subscriptions(self, destination: Json) -> list[Json]:
        return [row for row in self.subscriptions.values() if row["destinationId"] == destination["id"]]

    def _subscription_of(self, call: Call) -> Json:
        row = self._one(self.subscriptions, call.params["id"])
        if row["destinationId"] != self._destination_of(call)["id"]:
            raise self.error(404, "The subscription is not of this destination")
        return row

    def _subscription(self, row: Json) -> Json:
        return row | {"settings": self._masked(row["settings"])}

    # Reverse ETL syncs.

    def start_sync(self, call: Call) -> Reply:
        body = self._body(call, START_SYNC)
        source, model = self._one(self.sources, body["sourceId"]), self._one(MODELS, body["modelId"])
        subscription = self._syncable(body["subscriptionId"])
        problems: list[Problem] = []
        if model["sourceId"] != source["id"]:
            problems.append(("modelId", '"modelId" must be a model of the source'))
        if subscription.get("modelId") != model["id"]:
            problems.append(("subscriptionId", '"subscriptionId" must be a subscription of the model'))
        if problems:
            raise self.invalid(*problems)
        is_enabled = subscription["enabled"] and self.destinations[subscription["destinationId"]]["enabled"]
        if not is_enabled and self.switches["disabled_sync_status"] != HTTPStatus.OK:
            raise self.error(self.switches["disabled_sync_status"], "The subscription or its destination is disabled")
        now = self.clock.now()
        if self.switches["concurrent_sync_status"] != HTTPStatus.OK and any(
            sync.subscription_id == subscription["id"] and sync.run.stage(now) in {"waiting", "running", "cancelling"}
            for sync in self.syncs.values()
        ):
            raise self.error(409, "A sync of this subscription is in progress")
        sync = Sync(
            f"example_sync_{self.ids.number()}", model["id"], source["id"], subscription["id"], self.start_run()
        )
        sync.outcome = self.switches["syncs_end_in"]
        self.syncs[sync.id] = sync
        started = {"startedAt": _iso(sync.run.created_s), "syncId": sync.id}
        return _data({"reverseETLManualSync": started})

    def get_sync(self, call: Call) -> Reply:
        return _data({"reverseETLSyncStatus": self._sync(self._sync_of(call))})

    def list_syncs(self, call: Call) -> Reply:
        model, subscription = self._one(MODELS, call.params["modelId"]), self._syncable(call.params["subscriptionId"])
        syncs = [s for s in self.syncs.values() if (s.model_id, s.subscription_id) == (model["id"], subscription["id"])]
        syncs.sort(key=lambda sync: sync.run.created_s, reverse=self.switches["syncs_order"] == "newest")
        given = {"count": "10"} | {name: call.query[name] for name in ("count", "cursor") if name in call.query}
        page, pagination = self._page(syncs, given, path="")
        return _data({"syncStatuses": [self._sync(sync) for sync in page], "pagination": pagination})

    def cancel_sync(self, call: Call) -> Reply:
        # No page says that it needs a body, as the OpenAPI document does of those that it has.
        reason = self._body(call, CANCEL_SYNC).get("reasonForCanceling", 0) if call.body else 0
        if reason not in range(5):
            raise self.invalid(("reasonForCanceling", '"reasonForCanceling" must be one of [0, 1, 2, 3, 4]'))
        sync, now = self._sync_of(call), self.clock.now()
        stage = sync.run.stage(now)
        answer = {"modelId": sync.model_id, "syncId": sync.id}
        if stage in {"waiting", "running"}:
            sync.run.cancelled_s, sync.run.cancelling_s = now, self.switches["cancelling_s"]
            return _data(answer | {"status": "CANCELLING"})
        code, message = CANCEL_REFUSALS["ended" if stage == "ended" else "cancelled"]
        if self.switches["cancel_refusal_status"] != HTTPStatus.OK:
            raise self.error(self.switches["cancel_refusal_status"], message)
        return _data(answer | {"errorCode": code, "errorMessage": message})

    def _syncable(self, subscription_id: str) -> Json:
        """Return the subscription that syncs know by this id."""
        prefix = "" if self.switches["sync_subscription_id"] == "subscription" else "mapping-"
        return self._one({prefix + row["id"]: row for row in self.subscriptions.values()}, subscription_id)

    def _sync_of(self, call: Call) -> Sync:
        sync = self.syncs.get(call.params["syncId"])
        if sync is None or sync.model_id != call.params["modelId"]:
            raise self.error(404, "Resource not found")
        return sync

    def _sync(self, sync: Sync) -> Json:
        run, now = sync.run, self.clock.now()
        stage = run.stage(now)
        canceled = self.switches["canceled_syncs"]
        status = {
            "ended": sync.outcome,
            "cancelling": self.switches["cancelling_status"],
            "cancelled": "CANCELED" if canceled == "canceled" else "FAIL",
        }.get(stage, "IN_PROGRESS")
        canceled_s = (run.cancelled_s or 0.0) + run.cancelling_s
        finished_s = {"ended": run.ended_s, "cancelled": canceled_s}.get(stage)
        code, error = {
            ("ended", "FAIL"): ("ExampleDestinationRefused", "The destination refused the credentials"),
            ("cancelled", "FAIL"): ("SyncCanceled", "sync canceled") if canceled == "fail_with_code" else ("", ""),
        }.get((stage, status), ("", ""))
        return {
            "syncId": sync.id,
            "modelId": sync.model_id,
            "sourceId": sync.source_id,
            "syncStatus": status,
            "duration": "{}m{}s".format(*divmod(int((finished_s or now) - run.created_s), 60)),
            "startedAt": _iso(run.created_s),
            **({"finishedAt": _iso(finished_s)} if finished_s else {}),
            **_phases(sync, now, finished_s, code),
            **({"error": error, "errorCode": code} if code else {}),
        }

    # What all requests share.

    def _body(self, call: Call, fields: Mapping[str, str]) -> Json:
        try:
            body = call.json()
        except Invalid as error:
            # No page has a 400 for it.
            raise self.invalid(("", str(error))) from error
        if not isinstance(body, dict):
            raise self.invalid(("", '"value" must be of type object'))
        if problems := list(_problems(body, fields)):
            raise self.invalid(*problems)
        return body

    def _one(self, rows: Mapping[str, Json], id_: str) -> Json:
        if id_ not in rows:
            raise self.error(404, "Resource not found")
        return rows[id_]

    def _list(self, call: Call, key: str, rows: Sequence[Json]) -> Reply:
        given = _pagination(call)
        if given is None:
            if self.switches["pagination"] == "required":
                raise self.invalid(("pagination", '"pagination" is required'))
            given = {"count": min(200, self.switches["max_count"])}
        page, pagination = self._page(rows, given)
        return _data({key: page, "pagination": pagination})

    def _page(self, rows: Sequence[T], given: object, path: str = "pagination.") -> tuple[Sequence[T], Json]:
        if not isinstance(given, dict):
            raise self.invalid(("pagination", '"pagination" must be of type object'))
        problems: list[Problem] = []
        maximum = self.switches["max_count"]
        count, offset = _whole(given.get("count")), _offset(given.get("cursor", _cursor(0)))
        if "count" not in given:
            problems.append((f"{path}count", '"count" is required'))
        elif not 1 <= count <= maximum:
            problems.append((f"{path}count", f'"count" must be an integer between 1 and {maximum}'))
        if offset < 0:
            problems.append((f"{path}cursor", '"cursor" is not one of this list'))
        if problems:
            raise self.invalid(*problems)
        edges = {
            "next": _cursor(offset + count) if offset + count < len(rows) else None,
            "previous": _cursor(max(0, offset - count)) if offset else None,
        }
        if self.switches["edge_cursors"] == "absent":
            edges = {name: cursor for name, cursor in edges.items() if cursor}
        total = {"totalEntries": len(rows)} if self.switches["total_entries"] else {}
        return rows[offset : offset + count], {"current": _cursor(offset), **edges, **total}


def _data(data: Json) -> Reply:
    return json_reply({"data": data})


def _accepted(headers: Sequence[str]) -> list[str]:
    """Return the media types of Accept, the best first."""
    weighed = []
    for media_range in ",".join(headers).lower().split(","):
        media_type, *parameters = (part.strip() for part in media_range.split(";"))
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        if re.fullmatch(r"0?\.[0-9]*[1-9][0-9]*|1(\.0*)?", weight):
            weighed.append((float(weight), media_type))
    return [media_type for _, media_type in sorted(weighed, key=lambda pair: -pair[0])]


def _problems(given: Json, fields: Mapping[str, str], path: str = "") -> Iterator[Problem]:
    """Yield what is wrong with an object, in the words of the documentation's sample."""
    for name, kind in fields.items():
        expected, words = KINDS[kind.rstrip("!?")]
        value = given.get(name)
        if name not in given:
            if kind.endswith("!"):
                yield path + name, f'"{name}" is required'
        elif not (value is None and kind.endswith("?")) and (
            not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool)
        ):
            yield path + name, f'"{name}" must be {words}'


def _schedule_problems(schedule: Json, path: str) -> Iterator[Problem]:
    yield from (problems := list(_problems(schedule, SCHEDULE, path)))
    if problems:
        return
    strategy, config = schedule["strategy"].upper(), schedule.get("config") or {}
    if strategy not in STRATEGIES:
        yield f"{path}strategy", f'"strategy" must be one of [{", ".join(STRATEGIES)}]'
    if strategy == "PERIODIC":
        hours, minutes = _go_duration(config.get("interval"))
        if not SHORTER_THAN_ANY_MIN < 60 * hours + minutes < LONGER_THAN_ANY_MIN:
            yield f"{path}config.interval", '"interval" must be longer than 10m and shorter than 168h'
    if strategy == "SPECIFIC_DAYS":
        for name, past_last in (("days", 7), ("hours", 24)):
            values = config.get(name)
            if not isinstance(values, list) or not values or any(value not in range(past_last) for value in values):
                yield f"{path}config.{name}", f'"{name}" must hold numbers from 0 to {past_last - 1}'
        yield from _problems(config, {"timezone": "string!"}, f"{path}config.")


def _go_duration(text: object) -> tuple[int, int]:
    """Return hours and minutes; none of both for what is no duration."""
    match = re.fullmatch(r"(?:(\d{1,5})h)?(?:(\d{1,5})m)?", text, re.ASCII) if isinstance(text, str) else None
    return (int(match[1] or 0), int(match[2] or 0)) if match else (0, 0)


def _pagination(call: Call) -> object:
    """Return what the request says about its page, in any of the encodings; None for nothing."""
    if "pagination" in call.query:
        try:
            return json.loads(call.query["pagination"])
        except ValueError:
            return ""
    forms: tuple[Callable[[str], str], ...] = (lambda name: f"pagination.{name}", lambda name: f"pagination[{name}]")
    given = {n: call.query[form(n)] for n in ("count", "cursor") for form in forms if form(n) in call.query}
    if given or not call.body:
        return given or None
    body = call.json()
    return body.get("pagination") if isinstance(body, dict) else None


def _whole(value: object) -> int:
    """Return a number, or text of one; -1 for anything else."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def _cursor(offset: int) -> str:
    return base64.b64encode(str(offset).encode()).decode()


def _offset(cursor: object) -> int:
    """Return what a cursor stands for; -1 for what is none."""
    try:
        return _whole(base64.b64decode(str(cursor), validate=True).decode())
    except ValueError:
        return -1


def _iso(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _instant(text: str | None) -> float | None:
    """Return epoch seconds, in UTC where the text has no zone; NaN for what is no time."""
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return math.nan


def _metrics(minutes: float) -> list[Json]:
    """Return the six metrics of a window with 4 events a minute, of which one succeeds only after a retry."""
    successes, retried = 4 * int(minutes), int(minutes)

    def metric(name: str, total: int, **breakdown: int) -> Json:
        parts = [{"metricName": f"{name}_{part}", "value": value} for part, value in breakdown.items()]
        return {"metricName": name, "total": total, **({"breakdown": parts} if parts else {})}

    average, p95 = (3, 8) if successes else (0, 0)
    return [
        metric("successes", successes, on_first_attempt=successes - retried, after_retry=retried),
        metric("expired", successes // 100),
        metric("discarded", successes // 200),
        metric("retried", retried),
        metric("time_to_success", successes, average=average, p95=p95),
        metric("time_to_first_attempt", successes, average=average, p95=p95),
    ]


def _phases(sync: Sync, now_s: float, finished_s: float | None, code: str) -> Json:
    """Return the phases that have begun: the first half of a run extracts, the second loads. Counts are strings."""
    run = sync.run
    reached_s = min(now_s, run.cancelled_s or math.inf)
    loading_s = run.started_s + run.running_s / 2
    done = run.progress(now_s)
    end = _iso(finished_s) if finished_s else ""
    extracted, loaded = int(sync.records * min(1.0, 2 * done)), int(sync.records * max(0.0, 2 * done - 1))
    refused = {"FAIL": loaded, "PARTIAL_SUCCESS": loaded // 48}.get(sync.outcome, 0)
    phases: Json = {}
    if reached_s >= run.started_s:
        phases["extractPhase"] = {
            "addedCount": str(extracted - extracted // 2),
            "updatedCount": str(extracted // 2 - extracted // 12),
            "deletedCount": str(extracted // 12),
            "extractCount": str(extracted),
            "errorCode": "",
            "startedAt": _iso(run.started_s),
            "finishedAt": _iso(loading_s) if reached_s >= loading_s else end,
        }
    if reached_s >= loading_s:
        phases["loadPhase"] = {
            "deliverSuccessCount": str(loaded - refused),
            "deliverFailureCount": str(refused),
            "errorCode": code,
            "startedAt": _iso(loading_s),
            "finishedAt": end,
        }
    return phases


# The seed: an obviously invented shop. Times are so long before now, so that states hold under any clock.

WORKSPACE = {"id": "ExampleWorkspace000001", "slug": "example-shop", "name": "Example shop"}
WEB, WAREHOUSE = "ExampleSourceWeb000001", "ExampleSourceDwh000002"
ADS, LETTERS, STREAM = (f"00000000000000000000ca0{n}" for n in (1, 2, 3))
CUSTOMERS, CARTS = "ExampleModel0000000201", "ExampleModel0000000202"
UPSERT, TRACK, SUBSCRIBE = (f"ExampleAction000000{n}" for n in (301, 302, 303))

MODELS = {id_: {"id": id_, "sourceId": WAREHOUSE} for id_ in (CUSTOMERS, CARTS)}


def _source_metadata(id_: str, name: str, *, is_cloud: bool) -> Json:
    return {
        "id": id_,
        "name": name,
        "slug": name.lower().replace(" ", "-"),
        "description": "",
        "logos": {"default": f"https://logos.example/{id_}.png", "mark": None},
        "options": [],
        "categories": ["Example"],
        "isCloudEventSource": is_cloud,
    }


SOURCE_CATALOG = {
    "ExampleWeb": _source_metadata("ExampleWeb", "Example web", is_cloud=False),
    "ExampleDwh": _source_metadata("ExampleDwh", "Example warehouse", is_cloud=True),
}


def _catalog() -> Iterator[Json]:
    """Yield a destination with actions and a secret, one with more of both, and one without actions."""

    def option(name: str, default: object = "", *, required: bool = False, description: str = "") -> Json:
        kind = {str: "string", bool: "boolean", int: "number", dict: "map"}[type(default)]
        shown = {"name": name, "type": kind, "defaultValue": default, "required": required, "label": name.title()}
        return shown | {"description": description or f"Example option {name}"}

    def field(action: str, order: int, key: str, kind: str = "STRING", **more: object) -> Json:
        flags = {"required": False, "multiple": False, "dynamic": False, "allowNull": True}
        texts = {"label": key.title(), "description": f"Example field {key}"}
        return {"id": f"{action}F{order}", "sortOrder": order, "fieldKey": key, "type": kind, **texts, **flags, **more}

    def action(id_: str, slug: str, trigger: str | None, *fields: Json) -> Json:
        texts = {"name": slug.title(), "description": f"Example action {slug}", "defaultTrigger": trigger}
        return {"id": id_, "slug": slug, **texts, "platform": "CLOUD", "hidden": False, "fields": [*fields]}

    def item(id_: str, name: str, instances: str, options: list[Json], actions: list[Json], **more: object) -> Json:
        track = {"actionId": TRACK, "name": "Example preset", "fields": {"eventName": "Order"}, "trigger": TRACKED}
        return {
            "id": id_,
            "name": name,
            "description": f"{name} takes events of the example shop and does nothing with them",
            "slug": name.lower().replace(" ", "-"),
            "logos": {"default": f"https://logos.example/{id_}.png"},
            "options": options,
            "status": "PUBLIC",
            "previousNames": [name],
            "categories": ["Advertising"],
            "website": "https://vendor.example",
            "components": [{"code": "https://vendor.example/code", "owner": "SEGMENT", "type": "SERVER"}],
            "supportedFeatures": {"cloudModeInstances": instances, "deviceModeInstances": "NONE", "replay": False},
            "supportedMethods": dict.fromkeys(("pageview", "identify", "alias", "track", "group"), True),
            "supportedPlatforms": {"browser": True, "server": True, "mobile": False, "warehouse": True},
            "actions": actions,
            "presets": [track] if actions else [],
            **more,
        }

    yield item(
        ADS,
        "Example Ads",
        "MULTIPLE",
        [
            option("apiKey", required=True),
            option("endpoint"),
            option("eventUploadThreshold", 30),
            option("mapQueryParams", {}),
            option("retarget", default=False),
        ],
        [
            action(UPSERT, "upsert", None, field(UPSERT, 1, "email"), field(UPSERT, 2, "batchSize", defaultValue=1000)),
            action(TRACK, "track", TRACKED, field(TRACK, 1, "eventName")),
        ],
    )
    yield item(
        LETTERS,
        "Example Letters",
        "MULTIPLE",
        [
            option("accountId", required=True),
            option("authToken"),
            option("paper", "A4"),
            option("duplex", default=True),
        ],
        [
            action(SUBSCRIBE, "subscribe", None, field(SUBSCRIBE, 1, "signingKey", "PASSWORD")),
            action(TRACK, "track", TRACKED, field(TRACK, 1, "eventName")),
        ],
        status="PUBLIC_BETA",
        contacts=[{"name": "Nobody", "email": "nobody@vendor.example", "role": "owner", "isPrimary": True}],
        partnerOwned=True,
        supportedRegions=["us-west-2", "eu-west-1"],
    )
    yield item(
        STREAM,
        "Example Stream",
        "SINGLE",
        [
            option("region", "eu-west-1", required=True),
            option("stream", required=True),
            option("externalId", "#SEGMENT_WORKSPACE_ID", required=True, description="This value is read-only."),
            option("useMessageId", default=False),
        ],
        [],
        previousNames=["Example Pipe", "Example Stream"],
    )


TRACKED = 'type = "track"'


def _read_only_settings(metadata: Json) -> Json:
    return {option["name"]: WORKSPACE["id"] for option in metadata["options"] if option["name"] in READ_ONLY}


def _seed_sources() -> Iterator[Json]:
    for id_, slug, metadata_id in ((WEB, "web", "ExampleWeb"), (WAREHOUSE, "warehouse", "ExampleDwh")):
        yield {
            "id": id_,
            "slug": slug,
            "name": f"Example shop {slug}",
            "metadata": SOURCE_CATALOG[metadata_id],
            "enabled": True,
            "writeKeys": [f"fake-write-key-of-{slug}"],
            "settings": {},
        }


def _destination_id(number: int) -> str:
    return f"00000000000000000000d{number}"


def _seed_destinations() -> Iterator[Json]:
    """Yield one that nothing uses at present, a busy, a disabled, one without a name, a bench, and an empty one."""
    letters = {"accountId": "example-account", "authToken": "fake-token-of-nothing-2222"}
    for number, source_id, metadata_id, enabled, name, settings in (
        (101, WAREHOUSE, ADS, True, "Example shop ads", {"apiKey": "fake-key-of-nothing-1111", "retarget": True}),
        (102, WAREHOUSE, LETTERS, True, "Example shop letters", letters),
        (103, WAREHOUSE, LETTERS, False, "Example shop old call centre", {"accountId": "example-old"}),
        (104, WEB, STREAM, True, None, {"stream": "example-stream", "externalId": WORKSPACE["id"]}),
        (105, WAREHOUSE, ADS, True, "Example shop bench", {"apiKey": "abc"}),
        (106, WEB, LETTERS, True, "", {"accountId": "example-unused"}),
        (107, WAREHOUSE, LETTERS, True, "Example shop club", letters),
    ):
        row = {"id": _destination_id(number), "sourceId": source_id, "metadataId": metadata_id, "enabled": enabled}
        yield row | {"name": name, "settings": dict(settings)}


def _new_subscription(id_: str, destination_id: str, action: Json) -> Json:
    """Return a subscription that has what an action's fields save by default."""
    settings = {field["fieldKey"]: field["defaultValue"] for field in action["fields"] if "defaultValue" in field}
    shown = {"id": id_, "name": "", "actionId": action["id"], "actionSlug": action["slug"]}
    return shown | {"destinationId": destination_id, "enabled": True, "settings": settings, "trigger": TRACKED}


def _seed_subscriptions(catalog: Mapping[str, Json]) -> Iterator[Json]:
    """Yield subscriptions of events, and of models under schedules."""
    actions = {action["id"]: action for item in catalog.values() for action in item["actions"]}
    manual = {"strategy": "MANUAL", "config": None}
    weekend = {"strategy": "SPECIFIC_DAYS", "config": {"days": [0, 6], "hours": [3], "timezone": "Europe/Prague"}}

    def every(interval: str) -> Json:
        return {"strategy": "PERIODIC", "config": {"interval": interval}}

    for number, destination, name, action_id, model_id, schedule in (
        (101, 101, "customers", UPSERT, CUSTOMERS, manual),
        (102, 101, "orders", TRACK, "", None),
        (103, 101, "carts", UPSERT, CARTS, every("1h")),
        (104, 102, "letters", SUBSCRIBE, CUSTOMERS, every("15m")),
        (105, 103, "call centre", SUBSCRIBE, CARTS, manual),
        (106, 105, "bench", UPSERT, CUSTOMERS, manual),
        (107, 105, "bench orders", TRACK, "", None),
        (108, 107, "club", SUBSCRIBE, CARTS, weekend),
    ):
        row = _new_subscription(_subscription_id(number), _destination_id(destination), actions[action_id])
        row |= {"name": f"Example {name}", "enabled": name != "club"}
        if action_id == SUBSCRIBE:
            row["settings"]["signingKey"] = "fake-signing-key-3333"
        yield row | ({"modelId": model_id, "reverseETLSchedule": schedule} if model_id else {})


def _subscription_id(number: int) -> str:
    return f"ExampleSubscription{number}"


def _seed_syncs(now: float) -> Iterator[Sync]:
    """Yield syncs in every state, one in a state nobody knows, and enough of one subscription for several pages."""

    def sync(number: int, subscription: int, model_id: str, age_s: float, outcome: str = "SUCCESS") -> Sync:
        id_, subscription_id = f"example_sync_{number}", _subscription_id(subscription)
        return Sync(id_, model_id, WAREHOUSE, subscription_id, Run(now - age_s), outcome)

    yield sync(1001, 101, CUSTOMERS, 90 * DAY_S)
    yield sync(1002, 101, CUSTOMERS, 80 * DAY_S, "FAIL")
    yield sync(1003, 101, CUSTOMERS, 70 * DAY_S, "PARTIAL_SUCCESS")
    canceled = sync(1004, 101, CUSTOMERS, 60 * DAY_S)
    canceled.run.cancelled_s = canceled.run.started_s + 3
    yield canceled
    yield sync(1101, 103, CARTS, 85 * DAY_S)
    yield sync(1102, 103, CARTS, 65 * DAY_S)
    yield sync(1201, 104, CUSTOMERS, 20 * DAY_S)
    canceling = sync(1202, 104, CUSTOMERS, 20)
    canceling.run.cancelled_s, canceling.run.cancelling_s = now - 1, 60.0
    yield canceling
    yield sync(1203, 104, CUSTOMERS, 6)
    yield sync(1301, 108, CARTS, 40 * DAY_S, "REPLAYING")
    for n in range(30):
        yield sync(2001 + n, 106, CUSTOMERS, (40 - n) * DAY_S)


def _job(destination: int, subscription: int, model_id: str, sync: int) -> str:
    # The API's ids double an underscore.
    return f"{_destination_id(destination)}~{_subscription_id(subscription)}~{model_id}~example__sync__{sync}"


def _filter(destination: int) -> str:
    return f'destination = "connections/{{connection}}/destinations/{_destination_id(destination)}"'


SUITE: Json = {
    "destination_id": _destination_id(101),
    "used_destination_id": _destination_id(102),
    "used_job_id": _job(102, 104, CUSTOMERS, 1203),
    "disabled_destination_id": _destination_id(103),
    "unknown_destination_id": _destination_id(999),
    "destination_count": 7,
    "destination": {
        "displayName": "Example shop, created by a test",
        "segment": {"sourceId": WAREHOUSE, "metadataId": LETTERS, "settings": {"accountId": "example-created"}},
    },
    "destination_patch": {
        "displayName": "Example shop ads, renamed",
        "disabled": True,
        "segment": {"settings": {"endpoint": "https://ads.example", "retarget": False}},
    },
    "export_job": {
        "destination": f"connections/{{connection}}/destinations/{_destination_id(101)}",
        "segment": {
            "subscription": f"connections/{{connection}}/destinations/{_destination_id(101)}"
            f"/subscriptions/{_subscription_id(101)}"
        },
    },
    "jobs": {
        "SUCCEEDED": _job(101, 101, CUSTOMERS, 1001),
        "FAILED": _job(101, 101, CUSTOMERS, 1002),
        "PARTIALLY_SUCCEEDED": _job(101, 101, CUSTOMERS, 1003),
        "CANCELLED": _job(101, 101, CUSTOMERS, 1004),
        "CANCELLING": _job(102, 104, CUSTOMERS, 1202),
        "RUNNING": _job(102, 104, CUSTOMERS, 1203),
        "UNRECOGNIZED": _job(107, 108, CARTS, 1301),
    },
    "unknown_job_id": _job(101, 101, CUSTOMERS, 9999),
    "export_jobs_filter": _filter(101),
    "many_export_jobs_filter": _filter(105),
    "many_export_job_count": 30,
    "subscription_id": _subscription_id(101),
    "unknown_subscription_id": _subscription_id(999),
    "subscription": {
        "displayName": "Example, created by a test",
        "segment": {"actionId": UPSERT, "trigger": TRACKED, "settings": {"email": "$.email"}, "modelId": CARTS},
    },
    "subscription_patch": {
        "displayName": "Example customers, renamed",
        "disabled": True,
        "segment": {
            "trigger": 'type = "identify"',
            "settings": {"batchSize": 500},
            "modelId": CARTS,
            "schedule": {"strategy": "PERIODIC", "config": {"interval": "30m"}},
        },
    },
    "metrics": {"granularity": "HOUR"},
    # Masked as the vendor does it shows the end of a secret: what passes it on fails too.
    "secrets": ["fake-key-of-nothing", "fake-token-of-nothing", "fake-signing-key", "fake-write-key", "••••"],
}
