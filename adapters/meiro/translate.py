"""Between Meiro's JSON and the contract's messages. Pure: nothing here asks anybody."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import msgspec
from google.protobuf.struct_pb2 import Value

from adapters import names
from adapters.errors import Fault, Missing, invalid_field
from adapters.meiro import wire
from adapters.secrets import redact, restore
from adapters.states import FINAL, lookup
from adapters.wellknown import failure, plain, show, timestamp, value
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import (
    ExportArtifact,
    ExportAudience,
    ExportJob,
    ExportJobRevision,
    LogEntry,
    ValueChange,
)
from audiencegateway.v1.vendor_config_pb2 import MeiroDestinationConfig, MeiroExportSpec

VENDOR = "meiro"
T = TypeVar("T")

# https://docs.meiro.dev/docs/api/meiro-cdp-api/segment-exports: "Entity's status possible values"
JOB_STATES = {
    "waiting": ExportJob.PENDING,
    "running": ExportJob.RUNNING,
    "finished": ExportJob.SUCCEEDED,
    "error": ExportJob.FAILED,
    "canceled": ExportJob.CANCELLED,
}
# The same page shows `info` alone; the others are what logs usually say.
LOG_SEVERITIES = {
    "debug": LogEntry.DEBUG,
    "info": LogEntry.INFO,
    "warning": LogEntry.WARNING,
    "error": LogEntry.ERROR,
}
STARTED = frozenset({ExportJob.RUNNING, ExportJob.SUCCEEDED, ExportJob.FAILED})
OPERATOR = "mandatory_attributes_operator"
CURRENT = "current"
"""The id of the revision that Meiro gives none."""
FILE = "file"
"""The id of an export's only artifact."""
MAX_ID_DIGITS = 18
NEVER_SHOWN = frozenset({"file_download_token"})
"""Opens the file to whoever has it."""

NO_MARK = "0" * 8
"""Stands where a mark would: behind a name whose own end would be taken for one."""

_MARK = re.compile(r"(?:^| )\[gw:([0-9a-f]{8})\]\Z")


def fault(_status: int, _headers: Mapping[str, str], body: bytes) -> Fault:
    """Read an error answer, which is `{"message": text}` if anything."""
    try:
        return Fault(message=msgspec.json.decode(body, type=wire.Message).message or "")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Fault()


def destination(connection: str, source: wire.Destination, *, deleted: bool = False) -> Destination:
    """Return a destination; *deleted* is what the place it was found in says."""
    settings = _object(source.settings)
    operator = settings.pop(OPERATOR, None)
    message = Destination(
        name=names.destination(connection, names.join_id(str(source.id))),
        display_name=source.name or "",
        description=source.description or "",
        disabled=bool(source.disabled),
        state=_destination_state(deleted=deleted or bool(source.deleted), disabled=bool(source.disabled)),
        create_time=timestamp(source.created),
        last_export_time=timestamp(source.last_export),
        meiro=MeiroDestinationConfig(
            attribute_ids=_ids(source.attribute_ids),
            mandatory_attribute_ids=_ids(source.mandatory_attribute_ids),
            mandatory_attributes_operator=str(operator or ""),
            workspace_id=_text(source.mi_workspace_id),
            icon=source.icon or "",
            owner_user_id=_text(source.user_id),
            data_load_start_time=timestamp(source.data_load_start_time),
            data_load_end_time=timestamp(source.data_load_end_time),
            customer_entities_count=source.customer_entities_count,
        ),
    )
    show(message.meiro.settings, settings)
    show(message.meiro.frontend_settings, _object(source.frontend_settings))
    _extend(message, source.extras)
    return message


def patch(merged: Destination, shown: Destination, present: wire.Destination, paths: Collection[str]) -> wire.Json:
    """Return the body of a PATCH: what makes *merged* of *present*, which the caller saw as *shown*.

    Raises:
        InvalidRequest: INVALID_FIELD.
    """
    writes = (WRITES[path] for path in sorted(paths))
    return {key: write(merged, shown, present) for key, write in writes}


def export_job(connection: str, audience_id: str, source: wire.Export) -> ExportJob:
    """Return an export of the segment that it was found under."""
    word = source.status or ""
    state = lookup(JOB_STATES, word, VENDOR)
    history = source.stats.statuses_history if source.stats else None
    times = {reached: time for reached, text in (history or {}).items() if (time := timestamp(text))}
    message = ExportJob(
        name=names.export_job(connection, names.join_id(audience_id, str(source.id))),
        display_name=unmarked(source.name),
        audiences=[ExportAudience(audience_id=audience_id)],
        state=state,
        vendor_state=word,
        vendor_job_id=str(source.id),
        create_time=timestamp(source.created),
        # The history lists states that were never reached: only what the present state vouches for is taken from it.
        start_time=times.get("running") if state in STARTED else None,
        end_time=times.get(word) if state in FINAL else None,
        meiro=MeiroExportSpec(
            owner_user_id=_text(source.user_id),
            state_times=times,
        ),
    )
    show(message.meiro.settings, _object(source.settings))
    show(message.meiro.frontend_settings, _object(source.frontend_settings))
    if source.segment_export_destination_id is not None:
        destination_id = names.join_id(str(source.segment_export_destination_id))
        message.destination = names.destination(connection, destination_id)
    if state == ExportJob.SUCCEEDED:
        message.artifacts.append(ExportArtifact(artifact_id=FILE, downloadable=True, vendor_state=word))
    if state == ExportJob.FAILED:
        explain(message)
    _extend(message, source.extras)
    return message


def explain(job: ExportJob, text: str = "") -> None:
    """Say on a failed job that and why it failed; *text* is what its log says, scrubbed."""
    (connection, _) = names.parse(job.name, "ExportJob")
    job.error.CopyFrom(failure("the export failed at Meiro", vendor=VENDOR, connection=connection, vendorMessage=text))


def run(connection: str, job: ExportJob, marker: str) -> tuple[str, wire.Json]:
    """Return the id of the segment to export, and the body of the POST that does it.

    Raises:
        InvalidRequest: INVALID_FIELD, INVALID_RESOURCE_NAME.
        Missing: DESTINATION_NOT_FOUND for an id that Meiro can't have given.
    """
    if len(job.audiences) != 1 or not job.audiences[0].audience_id:
        raise invalid_field("export_job.audiences", "has to be exactly one: an export is of one segment")
    owner, resource_id = names.parse(job.destination, "Destination", "export_job.destination")
    if owner != connection:
        raise invalid_field("export_job.destination", f"has to be a destination of connections/{connection}")
    destination_id = _number(*names.split_id(resource_id, 1, "Destination", "export_job.destination"))
    if destination_id is None:
        raise Missing(f"there is no {job.destination}", reason="DESTINATION_NOT_FOUND", resource=job.destination)
    mark = marker or (NO_MARK if _MARK.search(job.display_name) else "")
    name = " ".join(filter(None, [job.display_name, mark and f"[gw:{mark}]"]))
    body: wire.Json = {"segment_export_destination_id": destination_id}
    return job.audiences[0].audience_id, {**body, "name": name} if name else body


def unmarked(name: str | None) -> str:
    """Return what an export was named by its caller."""
    return _MARK.sub("", name or "")


def mark(source: wire.Export) -> str:
    """Return the mark that an export carries; empty where it carries none."""
    found = _MARK.search(source.name or "")
    return found[1] if found else ""


def revision(connection: str, export_job_id: str, source: wire.History) -> ExportJobRevision:
    """Return a history item of an export."""
    audience_id, vendor_job_id = names.split_id(export_job_id, 2)
    snapshot = export_job(connection, audience_id, source.segment_export)
    # A sample has another id inside than in its path; the path is what was asked for.
    snapshot.name, snapshot.vendor_job_id = names.export_job(connection, export_job_id), vendor_job_id
    revision_id = CURRENT if source.id is None else names.join_id(str(source.id))
    return ExportJobRevision(
        name=names.revision(connection, export_job_id, revision_id),
        snapshot=snapshot,
        changes={
            field: ValueChange(old_value=_shown(field, change.old), new_value=_shown(field, change.new))
            for field, change in (source.diff or {}).items()
        },
    )


def log_entry(source: wire.Log) -> LogEntry:
    """Return a line of an export's log."""
    level = source.level or ""
    return LogEntry(
        entry_id=str(source.id),
        log_time=timestamp(source.created),
        severity=LOG_SEVERITIES.get(level.lower(), LogEntry.SEVERITY_UNSPECIFIED),
        vendor_severity=level,
        text=source.text or "",
    )


def _destination_state(*, deleted: bool, disabled: bool) -> Destination.State.ValueType:
    if deleted:
        return Destination.DELETED
    return Destination.SUSPENDED if disabled else Destination.ACTIVE


def _settings(merged: Destination, shown: Destination, present: wire.Destination) -> str:
    field = "destination.meiro.settings"
    if OPERATOR in merged.meiro.settings.fields:
        raise invalid_field(f"{field}.{OPERATOR}", f"has a field of its own: meiro.{OPERATOR}")
    there = _object(present.settings)
    settings = restore(plain(merged.meiro.settings), plain(shown.meiro.settings), there, field)
    operator = merged.meiro.mandatory_attributes_operator
    return _json({**settings, OPERATOR: operator} if operator else settings)


def _frontend_settings(merged: Destination, shown: Destination, present: wire.Destination) -> str:
    new, old = plain(merged.meiro.frontend_settings), plain(shown.meiro.frontend_settings)
    return _json(restore(new, old, _object(present.frontend_settings), "destination.meiro.frontend_settings"))


def _workspace_id(text: str) -> int | None:
    number = _number(text)
    if text and number is None:
        raise invalid_field("destination.meiro.workspace_id", "has to be a whole number, or empty")
    return number


def _extend(message: Destination | ExportJob, extras: wire.Json) -> None:
    if extras:
        shown = {key: json for key, json in extras.items() if key not in NEVER_SHOWN}
        show(message.vendor_extras, shown)


def _shown(field: str, json: Any) -> Value:  # noqa: ANN401 - JSON is Any
    own = unmarked(json) if field == "name" and isinstance(json, str) else json
    return value(redact({field: own})[field])


def _object(source: wire.ObjectOrText) -> wire.Json:
    return _decoded(source, wire.Json) if isinstance(source, str) else dict(source or {})


def _ids(source: wire.IdsOrText) -> list[str]:
    ids = _decoded(source, list[wire.Id]) if isinstance(source, str) else source
    return [str(item) for item in ids or ()]


def _text(source: wire.Id | None) -> str:
    return "" if source is None else str(source)


def _number(text: str) -> int | None:
    """Return the number that an id of Meiro's is; None for a text that is none, or too long for one."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_ID_DIGITS else None


def _json(json: Any) -> str:  # noqa: ANN401 - JSON is Any
    return msgspec.json.encode(json).decode()


def _decoded(text: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, RecursionError):
        return kind()


Write = Callable[[Destination, Destination, wire.Destination], Any]

# https://docs.meiro.dev/docs/api/meiro-cdp-api/segment-export-destinations, attributes of PATCH. Four of them are JSON
# in a string and written whole; in the two objects, what the caller left as it was shown stays as Meiro has it.
WRITES: Mapping[str, tuple[str, Write]] = {
    "display_name": ("name", lambda new, *_: new.display_name),
    "description": ("description", lambda new, *_: new.description),
    "disabled": ("disabled", lambda new, *_: int(new.disabled)),
    "meiro.icon": ("icon", lambda new, *_: new.meiro.icon),
    "meiro.workspace_id": ("mi_workspace_id", lambda new, *_: _workspace_id(new.meiro.workspace_id)),
    "meiro.attribute_ids": ("attribute_ids", lambda new, *_: _json(list(new.meiro.attribute_ids))),
    "meiro.mandatory_attribute_ids": (
        "mandatory_attribute_ids",
        lambda new, *_: _json(list(new.meiro.mandatory_attribute_ids)),
    ),
    "meiro.mandatory_attributes_operator": ("settings", _settings),
    "meiro.settings": ("settings", _settings),
    "meiro.frontend_settings": ("frontend_settings", _frontend_settings),
}
"""From the path of a field of ours to Meiro's, and its value."""
