"""What Meiro's simulator knows: its switches, the features and fields of each operation, and its seed.

The seed is an obviously invented shop. Its times are so many days before now, so that states hold under any clock.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.sandbox import Run, Switch

Json = dict[str, Any]

DAY_S = 24 * 3600.0

OFF = False, (False, True)
SWITCHES = {
    "ids": Switch("number", ("number", "string"), "how ids are written in answers"),
    "dates": Switch("space", ("space", "zulu", "micros"), "which of the API's three date forms is used"),
    "null_body_for_missing": Switch(*OFF, "a GET of what is not there answers 200 null, not 404"),
    "bad_token_status": Switch(401, (401, 403), "the answer to a missing, unknown or expired token"),
    "default_order": Switch("id", ("id", "newest"), "the order of a list that asks for none: samples or overview"),
    "max_limit": Switch(500, int, "a larger limit is cut to this, silently"),
    "json_strings": Switch(
        "required", ("required", "lenient"), "may PATCH carry raw JSON where JSON in a string is due"
    ),
    "trash_settings": Switch("kept", ("kept", "empty"), "do trash and restore show settings, or {} as the samples do"),
    "used_destination_status": Switch(409, (409, 400, 200), "the answer to deleting a destination that an export uses"),
    "disabled_destination_status": Switch(400, (400, 409), "the answer to an export to a disabled destination"),
    "idle_last_running_export": Switch("404", ("404", "null", "null_field"), "last_running_export when nothing runs"),
    "first_status": Switch("waiting", ("waiting", "running"), "a new export's status; the sample says running"),
    "exports_end_in": Switch("finished", ("finished", "error"), "how exports end that start from now on"),
    "statuses_history": Switch(
        "documented", ("documented", "truthful"), "the samples list `finished`, never `canceled`"
    ),
    "cancel_final_status": Switch(409, (409, 400, 404, 422, 200), "the answer to cancelling a final export"),
    "history_ids": Switch("present", ("present", "absent"), "older items of a history list; the sample has no id"),
    "no_file_status": Switch(409, (409, 404), "the answer to a download of what has no file, or none yet"),
    "download_rows": Switch(25, int, "data lines of a download"),
    "download_content_type": Switch(
        "text/csv; charset=utf-8",
        ("text/csv; charset=utf-8", "text/csv", "application/octet-stream", "absent"),
        "the Content-Type of a download, which is not documented",
    ),
    "download_filename": Switch(
        "plain", ("plain", "encoded", "absent"), "Content-Disposition: filename, filename*, none"
    ),
    "download_framing": Switch("length", ("length", "chunked"), "whether a download announces its length"),
    "download_ranges": Switch(*OFF, "whether a download honours Range"),
}

# "Required feature (one of)" of each section. `Segment ACL` and EXPORT_DESTINATION_ID are filled in per call.
ACL = "acl/segments/{segment_id}"
ONE_DESTINATION = "segments/export/{destination_id}"
READ_DESTINATION = ("data/sources_and_destinations", "settings/sources_and_destinations", "segments/export")
WRITE_DESTINATION = ("settings/sources_and_destinations",)
LAST_RUNNING_EXPORT = ("data/sources_and_destinations",)
READ_EXPORT = (ACL, "foreign_segments/view", "foreign_segments/edit", "segments/export", ONE_DESTINATION)
CANCEL_EXPORT = (ACL, "foreign_segments/edit", "segments/export", ONE_DESTINATION)
RUN_EXPORT = DOWNLOAD_EXPORT = ("segments/export", ONE_DESTINATION)

# Which fields each answer shows, as in its sample.
DESTINATION = (
    *("id", "user_id", "name", "description", "settings", "frontend_settings", "attribute_ids", "disabled", "deleted"),
    *("icon", "mandatory_attribute_ids", "created", "mi_workspace_id"),
)
LISTED = (*DESTINATION, "last_export")
RETRIEVED = (*(f for f in LISTED if f != "deleted"), "data_load_start_time", "data_load_end_time")
MODIFIED = (*DESTINATION, "customer_entities_count")
EXPORT = (
    *("id", "user_id", "segment_id", "segment_export_destination_id", "name", "settings", "frontend_settings"),
    *("status", "stats", "file_download_token", "created"),
)
WITHOUT_TOKEN = tuple(f for f in EXPORT if f != "file_download_token")
# What order_by may name: columns, so nothing that is an object or a list.
DESTINATION_COLUMNS = ("id", "user_id", "name", "description", "disabled", "deleted", "icon", "created", "last_export")
EXPORT_COLUMNS = ("id", "user_id", "segment_id", "segment_export_destination_id", "name", "status", "created")
SEGMENT_COLUMNS = ("id", "user_id", "name", "description", "disabled", "deleted", "segment_type", "created")
LOG_COLUMNS = ("id", "segment_export_id", "level", "text", "created")

PUBLIC = {f"{method} /api/users/{path}" for method in ("POST", "PATCH", "DELETE") for path in ("login", "oidc_login")}
PUBLIC |= {"GET /api/users/auth_options"}

DATE_FORMS = {"space": "%Y-%m-%d %H:%M:%S", "zulu": "%Y-%m-%dT%H:%M:%SZ", "micros": "%Y-%m-%dT%H:%M:%S.%f"}


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


PATCH_FIELDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "name": (lambda v: isinstance(v, str) and v.strip() != "", "a text that is not empty"),
    "description": (lambda v: isinstance(v, str), "a text"),
    "icon": (lambda v: isinstance(v, str), "a text"),
    "disabled": (lambda v: type(v) is int and v in (0, 1), "0 or 1"),
    "mi_workspace_id": (lambda v: v is None or type(v) is int, "a number"),
    "settings": (lambda v: isinstance(v, dict), "a string with a JSON object"),
    "frontend_settings": (lambda v: isinstance(v, dict), "a string with a JSON object"),
    "attribute_ids": (_are_texts, "a string with a JSON list of texts"),
    "mandatory_attribute_ids": (_are_texts, "a string with a JSON list of texts"),
}
JSON_STRINGS = {"settings", "frontend_settings", "attribute_ids", "mandatory_attribute_ids"}

TOKENS = {
    "sandbox-token": (*READ_DESTINATION, "foreign_segments/view", "foreign_segments/edit"),  # every one there is
    "sandbox-token-read-only": ("data/sources_and_destinations", "foreign_segments/view"),
    "sandbox-token-one-segment": ("acl/segments/300",),
    "sandbox-token-one-destination": ("segments/export/101",),
}
USERS = {7: "operator@shop.example", 8: "colleague@shop.example"}
PASSWORD = "sandbox-password"  # noqa: S105 - opens nothing
OIDC_CODE = "sandbox-code"

SUITE: Json = {
    "destination_id": "101",
    "used_destination_id": "105",
    "used_job_id": "300~1006",
    "disabled_destination_id": "104",
    "deleted_destination_id": "191",
    "unknown_destination_id": "999999",
    "destination_count": 6,
    "deleted_destination_count": 2,
    "destination_patch": {
        "displayName": "Example shop newsletter, renamed",
        "description": "Renamed by a test",
        "disabled": True,
        "meiro": {"attributeIds": ["email"], "settings": {"note": "by a test"}},
    },
    "audience_id": "301",
    "unknown_audience_id": "999999",
    "export_job": {
        "displayName": "Example export",
        "destination": "connections/{connection}/destinations/101",
        "audiences": [{"audienceId": "301"}],
    },
    "jobs": {
        "SUCCEEDED": "300~1001",
        "FAILED": "300~1002",
        "CANCELLED": "300~1003",
        "UNRECOGNIZED": "300~1004",
        "RUNNING": "300~1005",
        "PENDING": "300~1006",
    },
    "unknown_job_id": "300~999999",
    "export_jobs_filter": 'audiences.audience_id:"300"',
    "many_export_jobs_filter": 'audiences.audience_id:"302"',
    "many_export_job_count": 30,
    "download_job_id": "300~1001",
    "undownloadable_job_id": "300~1005",
    "log_job_id": "300~1002",
    "revision_job_id": "300~1001",
    "revision_id": "100102",
}


@dataclass
class Export:
    """One segment export. Its status follows from the clock alone."""

    id: int
    segment_id: int
    destination_id: int
    name: str
    settings: Json
    run: Run
    outcome: str = "finished"
    afterwards: str = ""
    """A status that follows the end."""
    user_id: int = 7

    def reached(self, now_s: float) -> list[tuple[str, float]]:
        """Return the statuses up to now, oldest first, with when each began."""
        run = self.run
        steps = [("waiting", run.created_s), ("running", run.started_s), (self.outcome, run.ended_s)]
        if self.afterwards:
            steps.append((self.afterwards, run.ended_s + 60))
        if run.cancelled_s is not None:
            steps = [steps[0], *(step for step in steps[1:] if step[1] < run.cancelled_s)]
            steps.append(("canceled", run.cancelled_s))
        return [step for step in steps if step[1] <= now_s]

    def status(self, now_s: float) -> str:
        """Return the present status."""
        return self.reached(now_s)[-1][0]

    def is_active(self, now_s: float) -> bool:
        """Say whether it waits or runs, so that it can be cancelled and its destination is in use."""
        return self.status(now_s) in {"waiting", "running"}


def seed_destinations(now: float) -> Iterator[Json]:
    """Yield live destinations (a file, a workspace, push, disabled, busy, unused), then trashed ones."""

    def variable(name: str, title: str, value: str) -> Json:
        rules = {"required": True, "can_be_empty": False, "input_mode": "value_from_list"}
        return {"name": name, "title": title, "values": {f"{name}_home": value}, **rules}

    both, either = {"mandatory_attributes_operator": "and"}, {"mandatory_attributes_operator": "or"}
    sftp = both | {
        "mi_workspace_variables": [
            variable("host", "Host", "sftp.shop.example"),
            variable("port", "Port", "1234"),
            variable("password", "Password", "fake-password-of-nothing"),
        ]
    }
    push = both | {"registration_token_attribute_id": "push_token"}
    newsletter = ["email", "first_name"]
    for n, (id_, name, description, settings, attributes, mandatory, workspace, disabled, deleted) in enumerate(
        [
            (101, "newsletter", "Weekly letter, as a file", both, newsletter, ["email"], None, 0, 0),
            (102, "SFTP drop", "Through a workspace", sftp, ["email", "phone"], ["email"], 300, 0, 0),
            (103, "push notifications", "", push, [], ["push_token"], None, 0, 0),
            (104, "old call centre", "Switched off", either, ["phone"], ["phone"], 301, 1, 0),
            (105, "loyalty club", "Busy from the start", either, newsletter, [], None, 0, 0),
            (106, "never used", "", both, [], [], None, 0, 0),
            (191, "trashed banner feed", "In the trash", both, ["email"], ["email"], 300, 0, 1),
            (192, "trashed leaflet", "In the trash", both, ["address"], [], None, 1, 1),
        ]
    ):
        yield {
            "id": id_,
            "user_id": 7,
            "name": f"Example shop {name}",
            "description": description,
            "settings": settings,
            "frontend_settings": {"color": "teal"} if id_ == 102 else {},  # noqa: PLR2004 - one has some
            "attribute_ids": attributes,
            "disabled": disabled,
            "deleted": deleted,
            "icon": "destination.png" if workspace else "",
            "mandatory_attribute_ids": mandatory,
            "created": now - (400 - n) * DAY_S,
            "mi_workspace_id": workspace,
            "customer_entities_count": 1200,
        }


def seed_segments(now: float) -> Iterator[Json]:
    """Yield segments of one's own, a shared one and a foreign one; `_of` says which, for the `show_*` flags."""
    for n, (id_, name, owner, of) in enumerate(
        [
            (300, "regular customers", 7, "my"),
            (301, "lapsed customers", 7, "my"),
            (302, "test bench", 8, "foreign"),
            (303, "borrowed audience", 8, "shared_with_me"),
        ]
    ):
        condition = {"attribute_id": "city", "condition": {"operation": "contains", "value": "Exampletown"}}
        conditions = {"operation": "and", "operands": [condition | {"negation": False}], "negation": False}
        yield {
            "id": id_,
            "user_id": owner,
            "name": f"Example shop {name}",
            "description": "",
            "settings": {"conditions_operation": conditions, "destination_parameters": {"102": {"folder": "in"}}},
            "frontend_settings": {},
            "disabled": 0,
            "deleted": 0,
            "segment_type": "custom",
            "created": now - (300 - n) * DAY_S,
            "tags": [],
            "author_id": owner,
            "data_load_start_time": None,
            "data_load_end_time": None,
            "customers_count": 25,
            "_of": of,
        }


def seed_exports(now: float, segments: Mapping[int, Json]) -> Iterator[Export]:
    """Yield exports in every status, one in a status nobody knows, and enough of segment 302 for several pages."""

    def export(id_: int, segment_id: int, destination_id: int, name: str, age_s: float) -> Export:
        settings = {"conditions_operation": segments[segment_id]["settings"]["conditions_operation"]}
        return Export(id_, segment_id, destination_id, name, settings, Run(now - age_s))

    yield export(1001, 300, 101, "Example letter of March", 90 * DAY_S)
    failed = export(1002, 300, 102, "Example drop that failed", 80 * DAY_S)
    failed.outcome = "error"
    yield failed
    canceled = export(1003, 300, 101, "Example letter sent by mistake", 70 * DAY_S)
    canceled.run.cancelled_s = canceled.run.started_s + 3
    yield canceled
    archiving = export(1004, 300, 102, "Example drop with a status nobody knows", 60 * DAY_S)
    archiving.afterwards = "archiving"
    yield archiving
    yield export(1005, 300, 105, "Example club, running", 6)
    yield export(1006, 300, 105, "", 0)
    yield export(1007, 300, 103, "Example push", 50 * DAY_S)
    for n in range(30):
        yield export(2001 + n, 302, 101, f"Example bench {n + 1:02}", (40 - n) * DAY_S)


def log_lines(export: Export, now_s: float) -> list[tuple[str, str, float]]:
    """Return level, text and time of what has happened up to now."""
    lines = {
        "waiting": [("info", "Export was queued")],
        "running": [("info", "Export has started"), ("debug", "Attributes are being read")],
        "finished": [("info", "Export has finished")],
        "error": [
            ("warning", "sftp.shop.example did not answer, trying again"),
            ("error", "Connection to sftp.shop.example was refused"),
        ],
        "canceled": [("info", "Export was canceled")],
        # A status nobody knows comes with a level nobody knows.
        "archiving": [("notice", "Files are being archived")],
    }
    return [(level, text, at) for status, at in export.reached(now_s) for level, text in lines[status]]


def csv_line(columns: Sequence[str], n: int) -> bytes:
    """Return the line of member *n*, as long as every other."""
    values = (f"member-{n:09}@shop.example" if "email" in column else f"{column}-{n:09}" for column in columns)
    return (",".join(values) + "\n").encode()


def csv(head: bytes, columns: Sequence[str], rows: int, skipped: int) -> Iterator[bytes]:
    """Yield the file from byte *skipped* on, in pieces of about 64 KiB."""
    first, start = divmod(max(0, skipped - len(head)), len(csv_line(columns, 1)))
    piece = bytearray(head[skipped:])
    for n in range(first + 1, rows + 1):
        piece += csv_line(columns, n)[start:]
        start = 0
        if len(piece) >= 64 * 1024:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)
