"""What Meiro takes and sends: its operations, and the JSON of their answers.

https://docs.meiro.dev/docs/api/meiro-cdp-api/segment-export-destinations, …/segment-exports, …/authentication.
Every key but an id may be absent or null: the samples show each resource with other keys in every answer. Ids are
numbers in some places and texts in others, flags 0 or 1 here and booleans in younger sections.
"""

from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Json = dict[str, Any]
Id = int | str
Flag = int | bool | None
ObjectOrText = Json | str | None
IdsOrText = list[Id] | str | None
"""As text: JSON in a string, which is what PATCH takes."""


class _Entity(msgspec.Struct, kw_only=True):
    extras: Json = msgspec.field(default_factory=dict, name="(extras)")
    """The keys that are not modelled; filled in the FULL view, never decoded."""


class Destination(_Entity, kw_only=True):
    """A segment export destination."""

    id: Id
    user_id: Id | None = None
    name: str | None = None
    description: str | None = None
    icon: str | None = None
    settings: ObjectOrText = None
    frontend_settings: ObjectOrText = None
    attribute_ids: IdsOrText = None
    mandatory_attribute_ids: IdsOrText = None
    disabled: Flag = None
    deleted: Flag = None
    mi_workspace_id: Id | None = None
    created: str | None = None
    last_export: str | None = None
    data_load_start_time: str | None = None
    data_load_end_time: str | None = None
    customer_entities_count: int | None = None


class Stats(msgspec.Struct):
    """What Meiro says of the course of an export."""

    statuses_history: dict[str, str | None] | None = None


class Export(_Entity, kw_only=True):
    """One run of a segment to a destination."""

    id: Id
    user_id: Id | None = None
    segment_id: Id | None = None
    segment_export_destination_id: Id | None = None
    name: str | None = None
    settings: ObjectOrText = None
    frontend_settings: ObjectOrText = None
    status: str | None = None
    stats: Stats | None = None
    created: str | None = None


class Difference(msgspec.Struct, rename={"old": "from", "new": "to"}):
    """How one field of an export changed."""

    old: Any = None
    new: Any = None


class History(msgspec.Struct):
    """One state of an export; the id is null in the present one, and absent in some."""

    segment_export: Export
    id: Id | None = None
    diff: dict[str, Difference] | None = None


class Log(msgspec.Struct):
    """One line of an export's log."""

    id: Id
    level: str | None = None
    text: str | None = None
    created: str | None = None


class Selection(msgspec.Struct):
    """What Meiro made of a list's parameters."""

    limit: int | None = None


class One(msgspec.Struct, Generic[T], kw_only=True):
    """The envelope of one thing."""

    found: T | None


class Many(msgspec.Struct, Generic[T], kw_only=True):
    """The envelope of a list."""

    rows: list[T]
    selection_settings: Selection | None = None


class OneDestination(One[Destination], kw_only=True):
    """A destination, read or written."""

    found: Destination | None = msgspec.field(name="segment_export_destination")


class OneExport(One[Export], kw_only=True):
    """An export; null where none runs."""

    found: Export | None = msgspec.field(name="segment_export")


class NewExport(One[Export], kw_only=True):
    """An export that was started; null would not say whether one was."""

    found: Export = msgspec.field(name="segment_export")


class OneHistory(One[History], kw_only=True):
    """A history item."""

    found: History | None = msgspec.field(name="history")


class Destinations(Many[Destination], kw_only=True):
    """Live destinations."""

    rows: list[Destination] = msgspec.field(name="segment_export_destinations")


class Trash(Many[Destination], kw_only=True):
    """Deleted destinations."""

    rows: list[Destination] = msgspec.field(name="trashed_segments_export_destinations")


class Exports(Many[Export], kw_only=True):
    """The exports of one segment."""

    rows: list[Export] = msgspec.field(name="segment_exports")


class Histories(Many[History], kw_only=True):
    """The history of one export."""

    rows: list[History] = msgspec.field(name="history_list")


class Logs(Many[Log], kw_only=True):
    """The log of one export."""

    rows: list[Log] = msgspec.field(name="segment_export_logs")


class Token(msgspec.Struct):
    """What a login answers."""

    token: str


class Message(msgspec.Struct):
    """What an error answers, and the deletion of a destination."""

    message: str | None = None


class Operation(NamedTuple, Generic[T_co]):
    """One documented call: what a 403 of it misses is the section's "Required feature (one of)"."""

    method: str
    path: str
    reply: type[T_co]
    permission: str


_READ = "data/sources_and_destinations or settings/sources_and_destinations or segments/export"
_WRITE = "settings/sources_and_destinations"
_RUN = "segments/export or segments/export/EXPORT_DESTINATION_ID"
_CANCEL = f"Segment ACL authorization or foreign_segments/edit or {_RUN}"
_SEE = f"foreign_segments/view or {_CANCEL}"

LIST_DESTINATIONS = Operation("GET", "segments/export/destinations", Destinations, _READ)
GET_DESTINATION = Operation("GET", "segments/export/destinations/{}", OneDestination, _READ)
PATCH_DESTINATION = Operation("PATCH", "segments/export/destinations/{}", OneDestination, _WRITE)
DELETE_DESTINATION = Operation("DELETE", "segments/export/destinations/{}", Message, _WRITE)
GET_RUNNING_EXPORT = Operation(
    "GET", "segments/export/destinations/{}/last_running_export", OneExport, "data/sources_and_destinations"
)
LIST_TRASH = Operation("GET", "segments/export/destinations/trash", Trash, _WRITE)
RESTORE_DESTINATION = Operation("PATCH", "segments/export/destinations/trash/{}", OneDestination, _WRITE)
LIST_EXPORTS = Operation("GET", "segments/{}/exports", Exports, _SEE)
RUN_EXPORT = Operation("POST", "segments/{}/exports", NewExport, _RUN)
GET_EXPORT = Operation("GET", "segments/{}/exports/{}", OneExport, _SEE)
CANCEL_EXPORT = Operation("DELETE", "segments/{}/exports/{}", OneExport, _CANCEL)
LIST_HISTORY = Operation("GET", "segments/{}/exports/{}/history", Histories, _SEE)
GET_HISTORY = Operation("GET", "segments/{}/exports/{}/history/{}", OneHistory, _SEE)
LIST_LOGS = Operation("GET", "segments/{}/exports/{}/logs", Logs, _SEE)
DOWNLOAD = Operation("GET", "segments/{}/exports/{}/download", bytes, _RUN)
