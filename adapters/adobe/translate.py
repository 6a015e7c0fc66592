"""Between Adobe's JSON and the contract's messages. Pure: nothing here asks anybody."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct, Value

from adapters import names
from adapters.adobe import wire
from adapters.errors import CredentialsRejected, Fault, RateLimited, VendorError, invalid_field
from adapters.secrets import scrub
from adapters.states import FINAL, lookup
from adapters.wellknown import failure, instant, plain, show, timestamp, value
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportArtifact, ExportAudience, ExportJob, ExportMetrics, LogEntry
from audiencegateway.v1.vendor_config_pb2 import AdobeDestinationConfig, AdobeEventSelection, AdobeExportSpec

VENDOR = "adobe"
T = TypeVar("T", Destination, ExportJob)

# https://experienceleague.adobe.com/en/docs/experience-platform/segmentation/api/export-jobs, and the OpenAPI document
JOB_STATES = {
    "new": ExportJob.PENDING,
    "processing": ExportJob.RUNNING,
    "succeeded": ExportJob.SUCCEEDED,
    "failed": ExportJob.FAILED,
    # Documented for segment jobs alone, of the same service: nothing says what a cancelled export job shows.
    "queued": ExportJob.PENDING,
    "cancelling": ExportJob.CANCELLING,
    "cancelled": ExportJob.CANCELLED,
}
# The same page lists jobs by NEW, too; that alone would miss what is queued.
LISTED_STATUSES = {"SUCCEEDED": "SUCCEEDED", "FAILED": "FAILED"}
# https://experienceleague.adobe.com/en/docs/experience-platform/landing/troubleshooting; a missing token is a 403.
FAULT_KINDS: Mapping[str, type[VendorError]] = {
    "401013": CredentialsRejected,
    "403010": CredentialsRejected,
    "403000": CredentialsRejected,
    "403003": CredentialsRejected,
    "429050": RateLimited,
}
REFUSALS_OF_A_LOGIN = frozenset({400, 401, 403})
UNION_SCHEMA = "https://ns.adobe.com/xdm/context/profile__union"
SCHEMA_TYPE = "application/vnd.adobe.xed+json;version=1"
SCHEMA_NAME = "_xdm.context.profile"
COUNTER, BY_NAMESPACE = "totalExportedProfileCounter", "exportedProfileByNamespaceCounter"
MAX_MESSAGE_CHARS = 256
MAX_TOKEN_LIFE_S = 7 * 24 * 3600

_MARK = re.compile(r"[0-9a-f]{8}")


def fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """Read an error answer in whichever form: the gateway's, that of UPS, Catalog or the platform, the login's."""
    try:
        problem = msgspec.json.decode(body, type=wire.Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problem = wire.Problem()
    details = list(_details(problem.errors))
    codes = [code for code, _ in details if code != str(status)]
    code = _said(problem.error_code, *codes, _text(problem.type).partition("/errors/")[2], problem.error, problem.title)
    texts = "; ".join(text for _, text in details if text)
    report = problem.report if isinstance(problem.report, dict) else {}
    return Fault(
        code=code,
        message=_said(
            texts, problem.message, problem.detail, problem.error_message, problem.error_description, problem.title
        ),
        request_id=_said(problem.request_id, report.get("requestId"), headers.get("x-request-id")),
        retry_after_s=None if "Retry-After" in headers else _seconds(problem.retry_after_ms),
        kind=FAULT_KINDS.get(code),
    )


def login_fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """Read why no token was given: whatever is wrong with the request comes from the configuration."""
    kind = CredentialsRejected if status in REFUSALS_OF_A_LOGIN else None
    return replace(fault(status, headers, body), kind=kind)


def token_life_s(expires_in: float) -> float:
    """Return how long a token lives, in seconds; the retired exchange of the same service answered milliseconds."""
    return expires_in / 1000 if expires_in > MAX_TOKEN_LIFE_S else expires_in


# Destinations.


def is_destination(source: wire.Dataset) -> bool:
    """Tell whether exports can go into a dataset: it is on the union schema of profiles."""
    return source.schema_ref is not None and source.schema_ref.id == UNION_SCHEMA


def destination(connection: str, dataset_id: str, source: wire.Dataset, *, sandbox: str) -> Destination:
    """Return a dataset; without a name where it has no id yet."""
    schema = source.schema_ref or wire.SchemaRef()
    message = Destination(
        name=names.destination(connection, names.join_id(dataset_id)) if dataset_id else "",
        display_name=source.name or "",
        description=source.description or "",
        state=Destination.ACTIVE,
        create_time=instant(source.created),
        update_time=instant(source.updated),
        adobe=AdobeDestinationConfig(
            schema_ref_id=schema.id or "",
            schema_content_type=schema.content_type or "",
            sandbox=sandbox,
            tags={
                name: value(texts if isinstance(texts, list) else [texts]).list_value
                for name, texts in (source.tags or {}).items()
            },
        ),
    )
    return _extended(message, source.extras)


def dataset(wanted: Destination) -> wire.Json:
    """Return the body of the POST that makes a destination.

    Raises:
        InvalidRequest: INVALID_FIELD.
    """
    schema_id = wanted.adobe.schema_ref_id or UNION_SCHEMA
    if schema_id != UNION_SCHEMA:
        raise invalid_field("destination.adobe.schema_ref_id", f"has to be {UNION_SCHEMA}, or empty: exports need it")
    schema = {"id": schema_id, "contentType": wanted.adobe.schema_content_type or SCHEMA_TYPE}
    optional = _without_empty(description=wanted.description, tags=_tags(wanted))
    return {"name": _name(wanted), "schemaRef": schema, **optional}


def patch(merged: Destination, paths: Collection[str]) -> wire.Json:
    """Return the body of the PATCH that makes *paths* what they are in *merged*.

    Raises:
        InvalidRequest: INVALID_FIELD.
    """
    return {key: write(merged) for key, write in (WRITES[path] for path in sorted(paths))}


def dataset_id(references: wire.References) -> str:
    """Return the id in `["@/dataSets/{id}"]`; empty where there is none."""
    return references[0].rpartition("/")[2] if references else ""


def _name(wanted: Destination) -> str:
    if not wanted.display_name:
        raise invalid_field("destination.display_name", "is required: a dataset has a name")
    return wanted.display_name


def _tags(wanted: Destination) -> wire.Json:
    return plain(Struct(fields={name: Value(list_value=values) for name, values in wanted.adobe.tags.items()}))


# Export jobs.


def export_job(connection: str, source: wire.Job) -> ExportJob:
    """Return an export job."""
    word, job_id = source.status or "", _id(source.id)
    state = lookup(JOB_STATES, word, VENDOR)
    target, wanted = source.destination or wire.JobDestination(), source.filter or wire.Filter()
    dataset = target.dataset_id or target.data_set_id
    message = ExportJob(
        name=names.export_job(connection, names.join_id(job_id)),
        destination=names.destination(connection, names.join_id(dataset)) if dataset else "",
        audiences=[_audience(segment) for segment in wanted.segments or ()],
        state=state,
        vendor_state=word,
        vendor_job_id=job_id,
        metrics=_metrics(source),
        artifacts=_artifacts(target),
        create_time=instant(source.creation_time),
        # The total time begins with the job itself, long before the export does.
        start_time=instant(_timing(source, "profileExportTime", "startTimeInMs")),
        end_time=instant(_timing(source, "totalTime", "endTimeInMs")) if state in FINAL else None,
        update_time=instant(source.update_time),
        adobe=_spec(source, wanted),
    )
    if state == ExportJob.FAILED:
        first = next(iter(source.errors or ()), wire.JobError())
        text = scrub(first.msg or "")[:MAX_MESSAGE_CHARS]
        metadata = {"vendor": VENDOR, "connection": connection, "vendorCode": _text(first.code), "vendorMessage": text}
        message.error.CopyFrom(failure("the export failed at Adobe", **metadata))
    return _extended(message, source.extras)


def log_entries(source: wire.Job) -> list[LogEntry]:
    """Return the errors of a job, which are all that Adobe writes down about it."""
    return [
        LogEntry(
            entry_id=str(number),
            severity=LogEntry.ERROR,
            text="\n".join(filter(None, [error.msg, error.call_stack])),
            code=_text(error.code),
        )
        for number, error in enumerate(source.errors or (), 1)
    ]


def run(connection: str, job: ExportJob) -> wire.Json:
    """Return the body of the POST that starts a job.

    Raises:
        InvalidRequest: INVALID_FIELD, INVALID_RESOURCE_NAME.
    """
    owner, resource_id = names.parse(job.destination, "Destination", "export_job.destination")
    if owner != connection:
        raise invalid_field("export_job.destination", f"has to be a destination of connections/{connection}")
    (dataset_id,) = names.split_id(resource_id, 1, "Destination", "export_job.destination")
    spec = job.adobe
    # Without segments Adobe exports everybody.
    if bool(job.audiences) == spec.all_profiles:
        raise invalid_field("export_job.audiences", "is required, unless adobe.all_profiles is set, and not with it")
    if spec.HasField("merge_policy_version") and not spec.merge_policy_id:
        raise invalid_field("export_job.adobe.merge_policy_version", "is the version of a policy: it needs the id")
    body = _without_empty(
        fields=_joined(spec.profile_fields, "profile_fields"),
        mergePolicy=_without_empty(
            id=spec.merge_policy_id,
            version=spec.merge_policy_version if spec.HasField("merge_policy_version") else None,
        ),
        filter=_without_empty(
            segments=[_segment(audience) for audience in job.audiences],
            segmentQualificationTime=_interval(spec.qualification_interval, "startTime", "endTime"),
            fromIngestTimestamp=_time(spec, "profile_ingest_start_time"),
            emptyProfiles=spec.include_empty_profiles or None,
        ),
        destination={"datasetId": dataset_id, "segmentPerBatch": spec.segment_per_batch},
        schema={"name": spec.schema_name or SCHEMA_NAME},
        evaluationInfo={"segmentation": True} if spec.evaluate_segments else None,
    )
    if spec.HasField("events"):
        interval = _interval(spec.events.ingest_interval, "fromIngestTimestamp", "toIngestTimestamp")
        events = _without_empty(fields=_joined(spec.events.fields, "events.fields"), filter=interval)
        body["additionalFields"] = {"eventList": events}
    return body


def is_started_by(source: wire.Job, body: wire.Json) -> bool:
    """Tell whether a job is what a POST of *body* starts; what Adobe fills in of itself makes no difference."""
    asked, shown = export_job("", _asked({**body, "status": "NEW"})), export_job("", source)
    # No answer shows this one. Another part that is missing was not asked for: without a filter everybody is exported.
    if source.evaluation_info is None:
        shown.adobe.evaluate_segments = asked.adobe.evaluate_segments
    if not asked.adobe.merge_policy_id:
        shown.adobe.ClearField("merge_policy_id")
    if not asked.adobe.HasField("merge_policy_version"):
        shown.adobe.ClearField("merge_policy_version")
    (wanted, there) = (sorted(job.audiences, key=lambda audience: audience.audience_id) for job in (asked, shown))
    for audience, filled in zip(wanted, there, strict=False):
        if not audience.namespace:
            filled.ClearField("namespace")
        if not audience.membership_states:
            filled.ClearField("membership_states")
    return (asked.destination, wanted, asked.adobe) == (shown.destination, there, shown.adobe)


def mark(source: wire.Job) -> str:
    """Return the mark that a job of the FULL view was started with; empty where Adobe shows none."""
    text = _text(source.extras.get("requestId"))
    return text if _MARK.fullmatch(text) else ""


def planned(connection: str, body: wire.Json) -> ExportJob:
    """Return the job that a POST of *body* would start."""
    job = export_job(connection, _asked({**body, "status": "NEW"}))
    return ExportJob(destination=job.destination, audiences=job.audiences, adobe=job.adobe)


def completed(source: wire.Job, body: wire.Json) -> wire.Job:
    """Return the answer to a POST of *body*: what Adobe does not repeat in it is as it was asked for."""
    asked = _asked(body)
    absent = {name: getattr(asked, name) for name in asked.__struct_fields__ if getattr(source, name) is None}
    return msgspec.structs.replace(source, **absent)


def next_offset(page: wire.Jobs) -> str | None:
    """Return where the page after this one begins, empty at the end; None where there is one and nothing says where."""
    link = page.link.next if page.link else None
    if not link:
        return ""
    _, _, query = link.partition("?")
    return next(iter(parse_qs(query).get("offset", ())), None) or (page.page and _id(page.page.page_offset)) or None


def _asked(body: wire.Json) -> wire.Job:
    return msgspec.convert({**body, "id": ""}, wire.Job)


def _audience(source: wire.Segment) -> ExportAudience:
    return ExportAudience(
        audience_id=_id(source.segment_id), namespace=source.segment_ns or "", membership_states=_words(source.status)
    )


def _segment(audience: ExportAudience) -> wire.Json:
    return _without_empty(
        segmentId=audience.audience_id, segmentNs=audience.namespace, status=list(audience.membership_states)
    )


def _spec(source: wire.Job, wanted: wire.Filter) -> AdobeExportSpec:
    policy = source.merge_policy or wire.MergePolicy()
    spec = AdobeExportSpec(
        merge_policy_id=policy.id or "",
        merge_policy_version=_whole(policy.version, 2**31),
        segment_per_batch=bool(source.destination and source.destination.segment_per_batch),
        include_empty_profiles=bool(wanted.empty_profiles),
        evaluate_segments=bool(source.evaluation_info and source.evaluation_info.segmentation),
        schema_name=(source.schema and source.schema.name) or "",
        all_profiles=not wanted.segments,
        profile_fields=_words(source.fields),
        profile_ingest_start_time=timestamp(wanted.from_ingest_timestamp),
    )
    qualified = wanted.segment_qualification_time or wire.Interval()
    _set_interval(spec.qualification_interval, qualified.start_time, qualified.end_time)
    events = source.additional_fields.event_list if source.additional_fields else None
    if events is not None:
        came_in = events.filter or wire.EventFilter()
        spec.events.CopyFrom(AdobeEventSelection(fields=_words(events.fields)))
        _set_interval(spec.events.ingest_interval, came_in.from_ingest_timestamp, came_in.to_ingest_timestamp)
    return spec


def _metrics(source: wire.Job) -> ExportMetrics | None:
    measured = dict(source.metrics or {})
    by_namespace = measured.pop(BY_NAMESPACE, None)
    exported = measured.pop(COUNTER, source.total_exported_profile_counter)
    counts = by_namespace.items() if isinstance(by_namespace, dict) else ()
    total_ms = _whole(_timing(source, "totalTime", "totalTimeInMs"), 2**48)
    metrics = ExportMetrics(
        records_succeeded_count=_whole(exported, 2**63),
        run_duration=None if total_ms is None else Duration(seconds=total_ms // 1000, nanos=total_ms % 1000 * 10**6),
        vendor_metrics=dict(_numbers(measured)),
        records_by_namespace={name: number for name, json in counts if (number := _whole(json, 2**63)) is not None},
    )
    return metrics if metrics.ByteSize() else None


def _timing(source: wire.Job, phase: str, moment: str) -> float | None:
    timings = (source.metrics or {}).get(phase)
    number = timings.get(moment) if isinstance(timings, dict) else None
    return number if _is_number(number) else None


def _numbers(json: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, float]]:
    for name, item in json.items():
        if isinstance(item, dict):
            yield from _numbers(item, f"{path}{name}.")
        elif _is_number(item):
            yield f"{path}{name}", item


def _artifacts(target: wire.JobDestination) -> Iterable[ExportArtifact]:
    batches = target.batches if isinstance(target.batches, list) else [target.batches or wire.Segment()]
    artifacts = {target.batch_id: ExportArtifact(artifact_id=target.batch_id)} if target.batch_id else {}
    for batch in batches:
        if batch.batch_id:
            artifacts[batch.batch_id] = ExportArtifact(artifact_id=batch.batch_id, audience=_audience(batch))
    return artifacts.values()


# Small parts.


def _extended(message: T, extras: wire.Json) -> T:
    if extras:
        show(message.vendor_extras, extras)
    return message


def _set_interval(interval: Any, start: str | None, end: str | None) -> None:  # noqa: ANN401 - google.type has no types
    for bound, text in (("start_time", start), ("end_time", end)):
        if (time := timestamp(text)) is not None:
            getattr(interval, bound).CopyFrom(time)


def _interval(interval: Any, start: str, end: str) -> wire.Json:  # noqa: ANN401 - google.type has no types
    return _without_empty(**{start: _time(interval, "start_time"), end: _time(interval, "end_time")})


def _time(message: Any, field: str) -> str | None:  # noqa: ANN401 - any message with a Timestamp
    return getattr(message, field).ToJsonString() if message.HasField(field) else None


def _joined(paths: Iterable[str], field: str) -> str:
    texts = list(paths)
    for index, text in enumerate(texts):
        if not text.strip() or "," in text:
            raise invalid_field(f"export_job.adobe.{field}[{index}]", "has to be the path of one field")
    return ",".join(texts)


def _words(source: wire.Words) -> list[str]:
    texts = source.split(",") if isinstance(source, str) else source or []
    return [text.strip() for text in texts if text.strip()]


def _without_empty(**json: Any) -> wire.Json:
    return {key: item for key, item in json.items() if item not in (None, "", [], {})}


def _id(source: wire.Id | None) -> str:
    return str(int(source)) if isinstance(source, float) and source.is_integer() else _text(source)


def _is_number(json: Any) -> bool:  # noqa: ANN401 - JSON is Any
    return isinstance(json, int | float) and not isinstance(json, bool)


def _whole(json: Any, limit: int) -> int | None:  # noqa: ANN401 - JSON is Any
    return int(json) if _is_number(json) and -limit < json < limit else None


def _text(json: Any) -> str:  # noqa: ANN401 - JSON is Any
    return str(json) if isinstance(json, str) or _is_number(json) else ""


def _said(*candidates: Any) -> str:
    return next(filter(None, map(_text, candidates)), "")


def _seconds(milliseconds: Any) -> float | None:  # noqa: ANN401 - JSON is Any
    text = _text(milliseconds)
    return int(text) / 1000 if text.isdecimal() and text.isascii() and len(text) <= len(str(2**31)) else None


def _details(errors: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - JSON is Any
    """Yield code and text of each error, whatever holds them."""
    for item in errors.values() if isinstance(errors, dict) else errors if isinstance(errors, list) else ():
        if isinstance(item, list):
            yield from _details(item)
        elif isinstance(item, dict):
            yield _text(item.get("code")), _text(item.get("message"))


# https://experienceleague.adobe.com/en/docs/experience-platform/catalog/api/update-object: the fields of a dataset that
# a PATCH may name. Tags are written whole: nothing says whether Catalog merges what stands below a field.
WRITES: Mapping[str, tuple[str, Callable[[Destination], Any]]] = {
    "display_name": ("name", _name),
    "description": ("description", lambda merged: merged.description),
    "adobe.tags": ("tags", _tags),
}
"""From the path of a field of ours to Adobe's, and its value."""
