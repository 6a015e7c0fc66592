"""Between Acme's JSON and the contract's messages. Pure: nothing here asks anybody."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from acme_audiences import wire
from adapters import names
from adapters.errors import Fault, invalid_field
from adapters.secrets import redact, restore
from adapters.states import FINAL, lookup
from adapters.wellknown import failure, plain, struct, timestamp
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportArtifact, ExportAudience, ExportJob, ExportMetrics

VENDOR = "acme"

# https://docs.acme.example/rest/v2/runs#lifecycle
JOB_STATES = {
    "queued": ExportJob.PENDING,
    "working": ExportJob.RUNNING,
    # A finished run that is kept for audit; its data has landed.
    "cooling": ExportJob.SUCCEEDED,
    "done": ExportJob.SUCCEEDED,
    "done_with_errors": ExportJob.PARTIALLY_SUCCEEDED,
    "failed": ExportJob.FAILED,
    "stopping": ExportJob.CANCELLING,
    "stopped": ExportJob.CANCELLED,
}
FILE = "file"
"""The id of a run's only artifact."""
LANDED = frozenset({ExportJob.SUCCEEDED, ExportJob.PARTIALLY_SUCCEEDED})
OPTIONS, CHANNEL = "options", "channel"
"""The keys of `custom`."""
FIELDS = {"label": "display_name", "note": "description", "paused": "disabled", "options": f"custom.{OPTIONS}"}
"""From Acme's fields to ours, for its errors."""


def fault(_status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """Read an error answer."""
    problem = msgspec.json.decode(body, type=wire.Error).error
    fields = ((FIELDS.get(problem.field, problem.field), problem.message),) if problem.field else ()
    request_id = headers.get("X-Request-Id", "")
    return Fault(code=problem.code, message=problem.message, request_id=request_id, fields=fields)


def destination(connection: str, source: wire.Target) -> Destination:
    """Return a target."""
    message = Destination(
        name=names.destination(connection, names.join_id(source.id)),
        display_name=source.label,
        description=source.note or "",
        disabled=source.paused,
        state=Destination.SUSPENDED if source.paused else Destination.ACTIVE,
        create_time=timestamp(source.created_at),
        update_time=timestamp(source.changed_at),
        custom=struct({CHANNEL: source.channel, OPTIONS: redact(source.options)}),
    )
    if source.extras:
        message.vendor_extras.CopyFrom(struct(redact(source.extras)))
    return message


def new_target(wanted: Destination) -> wire.Json:
    """Return the body of the POST that makes a destination.

    Raises:
        InvalidRequest: INVALID_FIELD.
    """
    custom = _custom(wanted)
    if not wanted.display_name:
        raise invalid_field("destination.display_name", "is needed: Acme names no target by itself")
    if not isinstance(custom.get(CHANNEL), str):
        raise invalid_field(f"destination.custom.{CHANNEL}", "has to say how Acme sends: sftp, webhook")
    return {
        "label": wanted.display_name,
        "note": wanted.description,
        "paused": wanted.disabled,
        CHANNEL: custom[CHANNEL],
        OPTIONS: restore(custom.get(OPTIONS, {}), {}, {}, f"destination.custom.{OPTIONS}"),
    }


def patch(merged: Destination, shown: Destination, present: wire.Target, paths: Collection[str]) -> wire.Json:
    """Return the body of the PATCH that makes *merged* of *present*, which the caller saw as *shown*.

    Raises:
        InvalidRequest: INVALID_FIELD, IMMUTABLE_FIELD.
    """
    writes = (WRITES[path.partition(".")[0]] for path in sorted(paths))
    return {key: write(merged, shown, present) for key, write in writes}


def export_job(connection: str, source: wire.Run) -> ExportJob:
    """Return a run."""
    state = lookup(JOB_STATES, source.status, VENDOR)
    message = ExportJob(
        name=names.export_job(connection, names.join_id(source.id)),
        display_name=source.label or "",
        destination=names.destination(connection, names.join_id(source.target_id)),
        audiences=[ExportAudience(audience_id=segment_id) for segment_id in source.segment_ids],
        state=state,
        vendor_state=source.status,
        vendor_job_id=source.id,
        create_time=timestamp(source.created_at),
        start_time=timestamp(source.started_at),
        end_time=timestamp(source.ended_at) if state in FINAL else None,
    )
    if source.counts:
        metrics = ExportMetrics(
            records_total_count=source.counts.total,
            records_succeeded_count=source.counts.sent,
            records_failed_count=source.counts.failed,
        )
        message.metrics.CopyFrom(metrics)
    if state in LANDED:
        message.artifacts.append(ExportArtifact(artifact_id=FILE, downloadable=True, vendor_state=source.status))
    if state == ExportJob.FAILED:
        why = source.failure or wire.Failure()
        said = {"vendorCode": why.code, "vendorMessage": why.message}
        message.error.CopyFrom(failure("the run failed at Acme", vendor=VENDOR, connection=connection, **said))
    if source.extras:
        message.vendor_extras.CopyFrom(struct(redact(source.extras)))
    return message


def new_run(connection: str, job: ExportJob, marker: str) -> wire.Json:
    """Return the body of the POST that starts a run.

    Raises:
        InvalidRequest: INVALID_FIELD, INVALID_RESOURCE_NAME.
    """
    if not job.audiences:
        raise invalid_field("export_job.audiences", "has to have at least one")
    owner, destination_id = names.parse(job.destination, "Destination", "export_job.destination")
    if owner != connection:
        raise invalid_field("export_job.destination", f"has to be a destination of connections/{connection}")
    (target_id,) = names.split_id(destination_id, 1, "Destination", "export_job.destination")
    body = {"target_id": target_id, "segment_ids": [audience.audience_id for audience in job.audiences]}
    return {
        **body,
        **({"label": job.display_name} if job.display_name else {}),
        **({"reference": marker} if marker else {}),
    }


def _custom(message: Destination) -> wire.Json:
    custom = plain(message.custom)
    for key in custom.keys() - {CHANNEL, OPTIONS}:
        raise invalid_field(f"destination.custom.{key}", f"is not one of {CHANNEL} and {OPTIONS}")
    if not isinstance(custom.get(OPTIONS, {}), dict):
        raise invalid_field(f"destination.custom.{OPTIONS}", "has to be an object")
    return custom


def _options(merged: Destination, shown: Destination, present: wire.Target) -> Any:
    new, old = _custom(merged), plain(shown.custom)
    if new.get(CHANNEL) != present.channel:
        raise invalid_field(f"destination.custom.{CHANNEL}", "can't be changed", reason="IMMUTABLE_FIELD")
    return restore(new.get(OPTIONS, {}), old[OPTIONS], present.options, f"destination.custom.{OPTIONS}")


# https://docs.acme.example/rest/v2/targets#change. Options are written whole, what the caller left as shown among them.
WRITES: Mapping[str, tuple[str, Callable[[Destination, Destination, wire.Target], Any]]] = {
    "display_name": ("label", lambda new, *_: new.display_name),
    "description": ("note", lambda new, *_: new.description),
    "disabled": ("paused", lambda new, *_: new.disabled),
    "custom": ("options", _options),
}
"""From the path of a field of ours to Acme's, and its value."""
