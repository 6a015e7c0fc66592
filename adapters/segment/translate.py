"""Between Segment's JSON and the contract's messages. Pure: nothing here asks anybody."""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC
from typing import Any, TypeVar

import msgspec
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from adapters import names
from adapters.errors import Fault, Violation, invalid_field
from adapters.secrets import MASK, redact, restore, scrub
from adapters.segment import wire
from adapters.states import FINAL, lookup
from adapters.wellknown import failure, plain, show, struct, timestamp
from audiencegateway.v1.destinations_pb2 import (
    DeliveryMetric,
    Destination,
    QueryDeliveryMetricsRequest,
    QueryDeliveryMetricsResponse,
    Subscription,
)
from audiencegateway.v1.export_jobs_pb2 import ExportJob, ExportMetrics, RecordErrorCount
from audiencegateway.v1.vendor_config_pb2 import (
    SegmentDestinationConfig,
    SegmentExportSpec,
    SegmentSubscriptionConfig,
    SegmentSyncSchedule,
)

VENDOR = "segment"
M = TypeVar("M", Destination, Subscription)

MAX_ERROR_CHARS = 256
SETTINGS = "segment.settings"

# https://docs.segmentapis.com/tag/Reverse-ETL: syncStatus, and the status of a cancel. The last two are not documented,
# and could mean nothing else.
JOB_STATES = {
    "in_progress": ExportJob.RUNNING,
    "success": ExportJob.SUCCEEDED,
    "partial_success": ExportJob.PARTIALLY_SUCCEEDED,
    "fail": ExportJob.FAILED,
    "cancelling": ExportJob.CANCELLING,
    "canceled": ExportJob.CANCELLED,
    "cancelled": ExportJob.CANCELLED,
}
# https://docs.segmentapis.com/tag/Reverse-ETL: the errorCode of a sync that is FAIL. No page lists its words; the
# second is that of a cancel, and the others are made like it.
FAILED_STATES = {
    "synccanceled": ExportJob.CANCELLED,
    "syncalreadycanceled": ExportJob.CANCELLED,
    "synccancelled": ExportJob.CANCELLED,
}
ALREADY_CANCELLED = "SyncAlreadyCanceled"
FINISHED = "SyncFinishedCannotCancel"

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
# https://docs.segmentapis.com/tag/Destinations: the default starts, of which that of a DAY is older than is allowed.
# Those that are the longest range at once are a minute shorter: Segment's clock is not ours.
WINDOWS_MS = {
    QueryDeliveryMetricsRequest.MINUTE: 60 * MINUTE_MS,
    QueryDeliveryMetricsRequest.HOUR: 7 * DAY_MS - MINUTE_MS,
    QueryDeliveryMetricsRequest.DAY: 14 * DAY_MS - MINUTE_MS,
}

# From the fields of Segment's requests to ours, to tell the caller which one was refused.
DESTINATION_FIELDS = {
    "sourceId": "destination.segment.source_id",
    "metadataId": "destination.segment.metadata_id",
    "settings": "destination.segment.settings",
    "enabled": "destination.disabled",
    "name": "destination.display_name",
}
SUBSCRIPTION_FIELDS = {
    "name": "subscription.display_name",
    "enabled": "subscription.disabled",
    "actionId": "subscription.segment.action_id",
    "trigger": "subscription.segment.trigger",
    "settings": "subscription.segment.settings",
    "modelId": "subscription.segment.model_id",
    "reverseETLModelId": "subscription.segment.model_id",
    "reverseETLSchedule": "subscription.segment.schedule",
}
SYNC_FIELDS = {
    "sourceId": "export_job.segment.source_id",
    "modelId": "export_job.segment.model_id",
    "subscriptionId": "export_job.segment.subscription",
}
METRICS_FIELDS = {
    "sourceId": "source_id",
    "startTime": "interval.start_time",
    "endTime": "interval.end_time",
    "granularity": "granularity",
}

_MASKED = re.compile(r"•+(?P<end>[^•]{0,4})", re.DOTALL)
"""A secret as Segment shows it: bullets, and at most its last 4 characters."""


def fault(body: bytes) -> Fault:
    """Read an error answer, which has one entry for everything that is wrong."""
    try:
        problems = msgspec.json.decode(body, type=wire.Problems).errors
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Fault()
    waits = [_wait_s(problem.data) for problem in problems]
    return Fault(
        code=next((problem.type for problem in problems if problem.type), ""),
        message="; ".join(problem.message for problem in problems if problem.message),
        fields=tuple((problem.field, problem.message or "") for problem in problems if problem.field),
        retry_after_s=next((wait_s for wait_s in waits if wait_s is not None), None),
    )


def violations(refusal: Fault, fields: Mapping[str, str]) -> list[Violation]:
    """Return what a refusal says of *fields*, under our names."""
    found = []
    for path, text in refusal.fields:
        head, _, rest = path.removeprefix("input.").partition(".")
        if head in fields:
            below = f"[{json.dumps(rest)}]" if head == "settings" else f".{rest}"
            found.append(Violation(fields[head] + (below if rest else ""), text, "REJECTED_BY_VENDOR"))
    return found


# Destinations.


def destination(connection: str, source: wire.Destination) -> Destination:
    """Return a destination."""
    message = Destination(
        name=names.destination(connection, names.join_id(source.id)),
        display_name=source.name or "",
        disabled=not source.enabled,
        state=_destination_state(disabled=not source.enabled),
        segment=SegmentDestinationConfig(
            source_id=source.source_id, metadata_id=source.metadata.id, settings=struct(_shown(source.settings))
        ),
    )
    if source.extras or source.metadata.extras:
        metadata = {"id": source.metadata.id, **source.metadata.extras}
        show(message.vendor_extras, {**source.extras, "metadata": metadata})
    return message


def new_destination(wanted: Destination) -> tuple[wire.Json, Destination]:
    """Return the body of the POST that makes a destination, and the destination as it would be.

    Raises:
        InvalidRequest: INVALID_FIELD.
    """
    config = wanted.segment
    if not config.source_id or not config.metadata_id:
        raise invalid_field("destination.segment", "has to have a source_id and a metadata_id")
    body = {
        "sourceId": config.source_id,
        "metadataId": config.metadata_id,
        "enabled": not wanted.disabled,
        "settings": _settings(config.settings, Struct(), {}, f"destination.{SETTINGS}"),
    }
    planned = Destination(
        display_name=wanted.display_name,
        disabled=wanted.disabled,
        state=_destination_state(disabled=wanted.disabled),
        segment=config,
    )
    return body | ({"name": wanted.display_name} if wanted.display_name else {}), discreet(planned)


def is_same_destination(one: Destination, wanted: Destination) -> bool:
    """Tell whether a destination is the one that was to be made, by what nothing changes at once and Segment keeps."""
    here, there = one.segment, wanted.segment
    return (one.display_name, here.source_id, here.metadata_id) == (
        wanted.display_name,
        there.source_id,
        there.metadata_id,
    )


def destination_patch(
    merged: Destination, shown: Destination, present: wire.Destination, paths: Collection[str]
) -> wire.Json:
    """Return the body of a PATCH: what makes *merged* of *present*, which the caller saw as *shown*.

    Raises:
        InvalidRequest: INVALID_FIELD.
    """
    writes = (DESTINATION_WRITES[path] for path in sorted(paths))
    return {key: write(merged, shown, present) for key, write in writes}


def unapplied(asked: wire.Json, before: wire.Json, after: wire.Json) -> list[str]:
    """Return the paths of settings that are not as *asked*, but as they were *before*: Segment dropped them."""
    dropped = (
        key
        for key, value in asked.items()
        if after.get(key) == before.get(key) and not _is_applied(value, after.get(key))
    )
    return [f"{SETTINGS}[{json.dumps(key)}]" for key in sorted(dropped)]


def window(request: QueryDeliveryMetricsRequest, now_s: float) -> QueryDeliveryMetricsResponse:
    """Return what metrics are asked for, in whole milliseconds, defaults filled in."""
    asked, given = QueryDeliveryMetricsResponse(), request.interval
    asked.granularity = request.granularity or QueryDeliveryMetricsRequest.MINUTE
    end_ms = given.end_time.ToMilliseconds() if given.HasField("end_time") else int(now_s * 1000)
    start_ms = (
        given.start_time.ToMilliseconds()
        if given.HasField("start_time")
        else end_ms - WINDOWS_MS.get(asked.granularity, WINDOWS_MS[QueryDeliveryMetricsRequest.MINUTE])
    )
    asked.interval.start_time.FromMilliseconds(start_ms)
    asked.interval.end_time.FromMilliseconds(end_ms)
    return asked


def metrics_query(
    request: QueryDeliveryMetricsRequest, asked: QueryDeliveryMetricsResponse, source_id: str
) -> list[tuple[str, str]]:
    """Return the parameters that ask for the metrics of *asked*; without an end of its own, Segment's is now."""
    end = [("endTime", _iso(asked.interval.end_time))] if request.interval.HasField("end_time") else []
    return [
        ("sourceId", source_id),
        ("startTime", _iso(asked.interval.start_time)),
        *end,
        ("granularity", QueryDeliveryMetricsRequest.Granularity.Name(asked.granularity)),
    ]


def metrics(source: wire.Summary) -> list[DeliveryMetric]:
    """Return the metrics of a window."""
    return [
        DeliveryMetric(
            metric=row.metric_name,
            total=row.total,
            breakdown={part.metric_name: part.value for part in row.breakdown or ()},
        )
        for row in source.metrics
    ]


# Subscriptions.


def subscription(connection: str, destination_id: str, source: wire.Subscription) -> Subscription:
    """Return a subscription of a destination, which is given by its id in the API."""
    schedule = source.schedule
    message = Subscription(
        name=names.subscription(connection, destination_id, names.join_id(source.id)),
        display_name=source.name or "",
        disabled=not source.enabled,
        segment=SegmentSubscriptionConfig(
            action_id=source.action_id,
            action_slug=source.action_slug or "",
            trigger=source.trigger or "",
            settings=struct(_shown(source.settings or {})),
            model_id=source.model_id or "",
        ),
    )
    if schedule:
        config = None if schedule.config is None else struct(_shown(schedule.config))
        message.segment.schedule.CopyFrom(SegmentSyncSchedule(strategy=schedule.strategy, config=config))
    if source.extras:
        show(message.vendor_extras, source.extras)
    return message


def new_subscription(wanted: Subscription) -> tuple[wire.Json, Subscription]:
    """Return the body of the POST that makes a subscription, and the subscription as it would be.

    Raises:
        InvalidRequest: INVALID_FIELD.
    """
    config = wanted.segment
    if not config.action_id or not config.trigger:
        raise invalid_field("subscription.segment", "has to have an action_id and a trigger")
    if config.HasField("schedule"):
        raise invalid_field("subscription.segment.schedule", "can only be given in an update")
    body = {
        "name": wanted.display_name,
        "actionId": config.action_id,
        "trigger": config.trigger,
        "enabled": not wanted.disabled,
    }
    optional = {
        "settings": _settings(config.settings, Struct(), {}, f"subscription.{SETTINGS}"),
        "modelId": config.model_id,
    }
    planned = Subscription(display_name=wanted.display_name, disabled=wanted.disabled, segment=config)
    return body | {key: value for key, value in optional.items() if value}, discreet(planned)


def is_same_subscription(one: Subscription, wanted: Subscription) -> bool:
    """Tell the same of two subscriptions of one destination."""
    here, there = one.segment, wanted.segment
    return (one.display_name, here.action_id, here.model_id) == (
        wanted.display_name,
        there.action_id,
        there.model_id,
    )


def is_scheduled(source: wire.Subscription) -> bool:
    """Tell whether syncs start by themselves."""
    return source.schedule is not None and source.schedule.strategy.upper() != "MANUAL"


def subscription_patch(
    merged: Subscription, shown: Subscription, present: wire.Subscription, paths: Collection[str]
) -> wire.Json:
    """Return the `input` of a PATCH: what makes *merged* of *present*, which the caller saw as *shown*.

    Raises:
        InvalidRequest: INVALID_FIELD.
    """
    writes = (SUBSCRIPTION_WRITES[path] for path in sorted(paths))
    return {key: write(merged, shown, present) for key, write in writes}


def discreet(planned: M) -> M:
    """Return *planned*, what was only thought through, with its secrets as they would be shown."""
    if planned.segment.HasField("settings"):
        planned.segment.settings.CopyFrom(struct(_shown(plain(planned.segment.settings))))
    return planned


# Syncs.


def export_job(connection: str, ids: Sequence[str], source: wire.Sync) -> ExportJob:
    """Return a sync; *ids* are Segment's of its destination, subscription, model, and itself."""
    *_, model_id, sync_id = ids
    codes = [
        code
        for part in (source, source.extract_phase, source.load_phase)
        if part is not None and (code := part.error_code)
    ]
    state = _job_state(source.sync_status, codes)
    message = _job(connection, ids, source.started_at, model_id=model_id, source_id=source.source_id or "")
    message.state, message.vendor_state, message.vendor_job_id = state, source.sync_status, sync_id
    if state in FINAL and (end := timestamp(source.finished_at)):
        message.end_time.CopyFrom(end)
    counted = _metrics(source, message)
    if counted.ListFields():
        message.metrics.CopyFrom(counted)
    if state == ExportJob.FAILED or (state == ExportJob.PARTIALLY_SUCCEEDED and (codes or source.error)):
        text = scrub(source.error or "")[:MAX_ERROR_CHARS]
        code = next(iter(codes), "")
        message.error.CopyFrom(
            failure(
                "the sync failed at Segment", vendor=VENDOR, connection=connection, vendorCode=code, vendorMessage=text
            )
        )
        load = source.load_phase or wire.Load()
        if load.error_code:
            count = _count(load.deliver_failure_count) or 0
            message.record_errors.append(RecordErrorCount(reason=load.error_code, record_count=count))
    _extend(message, source, codes)
    return message


def started(connection: str, ids: Sequence[str], source_id: str, source: wire.Started) -> ExportJob:
    """Return a sync that was just started, of which Segment says little more than that."""
    *_, model_id, sync_id = ids
    message = _job(connection, ids, source.started_at, model_id=model_id, source_id=source_id)
    message.state, message.vendor_job_id = ExportJob.RUNNING, sync_id
    return message


def through(connection: str, job: ExportJob) -> tuple[str, str]:
    """Return the ids, in the API, of the destination and the subscription that a job is to run through.

    Raises:
        InvalidRequest: INVALID_FIELD, INVALID_RESOURCE_NAME.
    """
    field = "export_job.segment.subscription"
    if not job.segment.subscription:
        raise invalid_field(field, "is required: a sync runs through one")
    owner, destination_id = names.parse(job.destination, "Destination", "export_job.destination")
    if owner != connection:
        raise invalid_field("export_job.destination", f"has to be a destination of connections/{connection}")
    *above, subscription_id = names.parse(job.segment.subscription, "Subscription", field)
    if above != [owner, destination_id]:
        raise invalid_field(field, f"has to be a subscription of {job.destination}")
    names.split_id(destination_id, 1, "Destination", "export_job.destination")
    names.split_id(subscription_id, 1, "Subscription", field)
    return destination_id, subscription_id


def start_ns(source: wire.Sync) -> int:
    """Return when a sync started, in epoch nanoseconds; 0 where Segment does not say."""
    moment = timestamp(source.started_at)
    return moment.ToNanoseconds() if moment else 0


def _job(connection: str, ids: Sequence[str], started_at: str | None, **spec: str) -> ExportJob:
    destination_id, subscription_id, *_ = map(names.join_id, ids)
    return ExportJob(
        name=names.export_job(connection, names.join_id(*ids)),
        destination=names.destination(connection, destination_id),
        # A sync begins when it is made: there is no queue, and no other time.
        create_time=timestamp(started_at),
        start_time=timestamp(started_at),
        segment=SegmentExportSpec(subscription=names.subscription(connection, destination_id, subscription_id), **spec),
    )


def _job_state(word: str, codes: Sequence[str]) -> ExportJob.State.ValueType:
    state = lookup(JOB_STATES, word, VENDOR)
    if state != ExportJob.FAILED:
        return state
    return next((FAILED_STATES[code.lower()] for code in codes if code.lower() in FAILED_STATES), state)


def _metrics(source: wire.Sync, job: ExportJob) -> ExportMetrics:
    extract, load = source.extract_phase or wire.Extract(), source.load_phase or wire.Load()
    others = {
        "addedCount": _count(extract.added_count),
        "updatedCount": _count(extract.updated_count),
        "deletedCount": _count(extract.deleted_count),
    }
    counted = ExportMetrics(
        records_total_count=_count(extract.extract_count),
        records_succeeded_count=_count(load.deliver_success_count),
        records_failed_count=_count(load.deliver_failure_count),
        vendor_metrics={name: count for name, count in others.items() if count is not None},
    )
    if job.HasField("end_time") and job.HasField("start_time"):
        counted.run_duration.FromNanoseconds(job.end_time.ToNanoseconds() - job.start_time.ToNanoseconds())
    return counted


def _extend(message: ExportJob, source: wire.Sync, codes: Sequence[str]) -> None:
    if not source.extras:
        return
    phases = {"extractPhase": source.extract_phase, "loadPhase": source.load_phase}
    shown = source.extras | {name: phase.extras for name, phase in phases.items() if phase and phase.extras}
    show(message.vendor_extras, shown | ({"errorCodes": list(codes)} if codes else {}))


# Settings.


def _shown(settings: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON is Any
    return _unmarked(redact(settings))


def _unmarked(value: Any) -> Any:  # noqa: ANN401 - JSON is Any
    """Return *value* with our mask for Segment's, which shows the end of a secret."""
    if isinstance(value, Mapping):
        return {key: _unmarked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unmarked(item) for item in value]
    return MASK if isinstance(value, str) and _MASKED.fullmatch(value) else value


def _settings(merged: Struct, shown: Struct, present: wire.Json, field: str) -> wire.Json:
    """Return the settings that differ between *merged* and *shown*, null for those that are gone.

    What Segment masks is never among them: as long as it is not given anew, it does not differ.

    Raises:
        InvalidRequest: INVALID_FIELD, for a mask that stands for nothing, and for one deep inside of what differs.
    """
    new, old = plain(merged), plain(shown)
    changed: wire.Json = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key in old and merged.fields[key] == shown.fields[key]:
            continue
        changed[key] = _written(value, old.get(key), present.get(key), f"{field}[{json.dumps(key)}]")
    return changed


def _written(value: Any, shown: Any, present: Any, field: str) -> Any:  # noqa: ANN401 - JSON is Any
    """Return *value* with what is as it was *shown* as it is *present*, unless that is masked by Segment itself."""
    restored = restore(value, shown, present, field)
    if _unmarked(restored) != restored:
        raise invalid_field(field, "holds a secret that Segment does not show: give it anew with the rest")
    return restored


def _is_applied(asked: Any, shown: Any) -> bool:  # noqa: ANN401 - JSON is Any
    """Tell whether a setting is as asked, as far as its mask lets see; Segment may add keys of its own."""
    if isinstance(asked, Mapping):
        return isinstance(shown, Mapping) and all(_is_applied(item, shown.get(key)) for key, item in asked.items())
    if isinstance(asked, list):
        return isinstance(shown, list) and len(asked) == len(shown) and all(map(_is_applied, asked, shown))
    if isinstance(asked, str) and isinstance(shown, str) and (masked := _MASKED.fullmatch(shown)):
        return asked.endswith(masked["end"])
    return bool(asked == shown)


def _schedule(merged: Subscription, shown: Subscription, present: wire.Subscription) -> wire.Json:
    new, field = merged.segment.schedule, "subscription.segment.schedule"
    if not merged.segment.HasField("schedule"):
        raise invalid_field(field, "can't be taken away: MANUAL is the one that does nothing")
    # MANUAL has none, and what the strategy before it had would stay in an update of the strategy alone.
    if not new.HasField("config") or new.strategy.upper() == "MANUAL":
        return {"strategy": new.strategy}
    there = present.schedule.config if present.schedule else None
    config = _written(plain(new.config), plain(shown.segment.schedule.config), there, f"{field}.config")
    return {"strategy": new.strategy, "config": config}


def _model_id(merged: Subscription, *_: object) -> str:
    if not merged.segment.model_id:
        raise invalid_field("subscription.segment.model_id", "can't be taken away: delete the subscription")
    return merged.segment.model_id


# Words, numbers, times.


def _destination_state(*, disabled: bool) -> Destination.State.ValueType:
    return Destination.SUSPENDED if disabled else Destination.ACTIVE


def _count(source: wire.Count) -> int | None:
    """Return a count, which arrives as a text; None for what is none."""
    text = str(source)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None  # noqa: PLR2004 - int64


def _wait_s(data: Any) -> float | None:  # noqa: ANN401 - JSON is Any
    """Return the wait that a 429 names beside its message."""
    wait_ms = data.get("msBeforeNext") if isinstance(data, Mapping) else None
    return max(0.0, wait_ms / 1000) if isinstance(wait_ms, int | float) else None


def _iso(moment: Timestamp) -> str:
    return moment.ToDatetime(tzinfo=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# https://docs.segmentapis.com/tag/Destinations, UpdateDestination and UpdateSubscriptionForDestination. A name may be
# null; of settings only those are sent that differ.
DESTINATION_WRITES: Mapping[str, tuple[str, Callable[[Destination, Destination, wire.Destination], Any]]] = {
    "display_name": ("name", lambda new, *_: new.display_name or None),
    "disabled": ("enabled", lambda new, *_: not new.disabled),
    "segment.settings": (
        "settings",
        lambda new, old, present: _settings(
            new.segment.settings, old.segment.settings, present.settings, f"destination.{SETTINGS}"
        ),
    ),
}
"""From the path of a field of ours to Segment's, and its value."""
SUBSCRIPTION_WRITES: Mapping[str, tuple[str, Callable[[Subscription, Subscription, wire.Subscription], Any]]] = {
    "display_name": ("name", lambda new, *_: new.display_name),
    "disabled": ("enabled", lambda new, *_: not new.disabled),
    "segment.trigger": ("trigger", lambda new, *_: new.segment.trigger),
    "segment.settings": (
        "settings",
        lambda new, old, present: _settings(
            new.segment.settings, old.segment.settings, present.settings or {}, f"subscription.{SETTINGS}"
        ),
    ),
    "segment.model_id": ("reverseETLModelId", _model_id),
    "segment.schedule.strategy": ("reverseETLSchedule", _schedule),
    "segment.schedule.config": ("reverseETLSchedule", _schedule),
}
"""The same for subscriptions."""
