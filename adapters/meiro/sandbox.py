"""Meiro's simulator, written from its documentation: segment export destinations, segments, segment exports, login.

Docs:    https://docs.meiro.dev/docs/api/meiro-cdp-api (read 2026-11)
Auth:    `X-Access-Token`; `POST users/login` gives one for 8 hours, refreshed until 4 hours after it ended.
Paging:  limit (default 20) and offset; order_by, order_dir; no total anywhere.
Silence: where the documentation says nothing or contradicts itself there is a switch, see `SWITCHES`.
"""

import copy
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

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

Json = dict[str, Any]

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
TOKEN_LIFETIME_S = 8 * HOUR_S
REFRESH_GRACE_S = 4 * HOUR_S

OFF = False, (False, True)
SWITCHES = {
    "ids": Switch("number", ("number", "string"), "how ids are written in answers"),
    "dates": Switch("space", ("space", "zulu", "micros"), "which of the API's three date forms is used"),
    "zone_h": Switch(0, (0, -12, 14), "how many hours before UTC times are, whose zone is not documented"),
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

# Without a token.
PUBLIC = {
    *("POST /api/users/login", "PATCH /api/users/login", "DELETE /api/users/login"),
    *("POST /api/users/oidc_login", "GET /api/users/auth_options"),
}

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
PASSWORD = "sandbox-password"
OIDC_CODE = "sandbox-code"


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


class MeiroSandbox(Sandbox):
    """Users, destinations, segments and exports of an obviously invented shop."""

    vendor = "meiro"
    prefixes = ("/api",)
    switch_table = SWITCHES

    def routes(self) -> Mapping[str, Handler]:
        destinations = "/api/segments/export/destinations"
        exports = "/api/segments/{segment_id}/exports"
        return {
            "POST /api/users/login": self.log_in,
            "PATCH /api/users/login": self.refresh,
            "DELETE /api/users/login": self.log_out,
            "POST /api/users/oidc_login": self.log_in_by_code,
            "GET /api/users/auth_options": self.auth_options,
            f"GET {destinations}": self.list_destinations,
            f"GET {destinations}/trash": self.list_trash,
            f"PATCH {destinations}/trash/{{destination_id}}": self.restore_destination,
            f"GET {destinations}/{{destination_id}}": self.get_destination,
            f"PATCH {destinations}/{{destination_id}}": self.modify_destination,
            f"DELETE {destinations}/{{destination_id}}": self.delete_destination,
            f"GET {destinations}/{{destination_id}}/last_running_export": self.last_running_export,
            "GET /api/segments": self.list_segments,
            "GET /api/segments/{segment_id}": self.get_segment,
            f"GET {exports}": self.list_exports,
            f"POST {exports}": self.run_export,
            f"GET {exports}/{{export_id}}": self.get_export,
            f"DELETE {exports}/{{export_id}}": self.cancel_export,
            f"GET {exports}/{{export_id}}/history": self.list_history,
            f"GET {exports}/{{export_id}}/history/{{history_id}}": self.get_history_item,
            f"GET {exports}/{{export_id}}/logs": self.list_logs,
            f"GET {exports}/{{export_id}}/download": self.download,
        }

    def connection_settings(self, base_url: str) -> dict[str, Any]:
        return {"base_url": f"{base_url}/api/", "token": "sandbox-token"}

    # The seed.

    def seed(self) -> None:
        now = self.clock.now()
        self.ids = Ids(3001)
        self.tokens = TokenBook(self.clock)
        for value, grants in TOKENS.items():
            self.tokens.add(value, grants)
        self.destinations = {row["id"]: row for row in _seed_destinations(now)}
        self.segments = {row["id"]: row for row in _seed_segments(now)}
        self.exports = {export.id: export for export in _seed_exports(now, self.segments)}

    @property
    def suite(self) -> dict[str, Any]:
        return copy.deepcopy(SUITE)

    # Access.

    def authorize(self, call: Call) -> None:
        if call.route in PUBLIC:
            return
        call.token = self.tokens.live(call.headers.get("X-Access-Token"))
        if call.token is None:
            raise self.error(self.switches["bad_token_status"], "Access token is missing, unknown or expired")

    def log_in(self, call: Call) -> Reply:
        body = _object(call)
        if body.get("email") not in USERS.values() or body.get("password") != PASSWORD:
            raise self.error(401, "Invalid credentials have been provided")
        return self._new_token()

    def log_in_by_code(self, call: Call) -> Reply:
        if _object(call).get("code") != OIDC_CODE:
            raise self.error(401, "Invalid credentials have been provided")
        return self._new_token()

    def refresh(self, call: Call) -> Reply:
        token = self.tokens.find(str(_object(call).get("token")))
        if token is None:
            raise self.error(401, "Invalid credentials have been provided")
        if self.clock.now() >= token.expires_s + REFRESH_GRACE_S:
            raise self.error(401, "Token is too old for refresh")
        return self._new_token(token.grants)

    def log_out(self, call: Call) -> Reply:
        token = self.tokens.live(str(_object(call).get("token")))
        if token is None:
            raise self.error(401, "Invalid credentials have been provided")
        self.tokens.revoke(token.value)
        return json_reply({"message": "Successfully logged-out"})

    def auth_options(self, call: Call) -> Reply:
        options = {"is_credentials_login_enabled": True, "is_oidc_login_enabled": True}
        return json_reply({"authentication_options": options})

    def _new_token(self, grants: Iterable[str] = TOKENS["sandbox-token"]) -> Reply:
        return json_reply({"token": self.tokens.issue(grants, TOKEN_LIFETIME_S).value})

    def _allow(
        self, call: Call, features: Iterable[str], segment_id: object = "*", destination_id: object = "*"
    ) -> None:
        """Refuse a token without any of the features; where no destination is meant, a grant for one is enough."""
        wanted = [f.format(segment_id=segment_id, destination_id=destination_id) for f in features]
        grants = call.token.grants if call.token else frozenset()
        if not any(fnmatchcase(grant, feature) for grant in grants for feature in wanted):
            raise self.error(403, "Required feature is missing")

    # Destinations.

    def list_destinations(self, call: Call) -> Reply:
        self._allow(call, READ_DESTINATION)
        rows = [self._destination(row, LISTED, call) for row in self.destinations.values() if not row["deleted"]]
        return self._page(call, "segment_export_destinations", rows, DESTINATION_COLUMNS)

    def get_destination(self, call: Call) -> Reply:
        self._allow(call, READ_DESTINATION)
        return self._one("segment_export_destination", self._destination(self._live(call), RETRIEVED, call))

    def modify_destination(self, call: Call) -> Reply:
        self._allow(call, WRITE_DESTINATION)
        row = self._live(call)
        changes = {}
        for name, value in _object(call).items():
            if name not in PATCH_FIELDS:
                raise Invalid(f"Unknown attribute {name}")
            valid, wanted = PATCH_FIELDS[name]
            decoded = self._from_json_string(value) if name in JSON_STRINGS else value
            if not valid(decoded):
                raise Invalid(f"{name} must be {wanted}")
            changes[name] = decoded
        row.update(changes)
        return self._one("segment_export_destination", self._destination(row, MODIFIED, call))

    def delete_destination(self, call: Call) -> Reply:
        self._allow(call, WRITE_DESTINATION)
        row = self._live(call)
        status = self.switches["used_destination_status"]
        if self._active_exports(row["id"]) and status != 200:  # noqa: PLR2004 - 200 lets it go
            raise self.error(status, "Segment export destination is used by an export")
        row["deleted"] = 1
        return json_reply({"message": "OK"})

    def last_running_export(self, call: Call) -> Reply:
        self._allow(call, LAST_RUNNING_EXPORT)
        active = self._active_exports(self._live(call)["id"])
        if active:
            return self._one("segment_export", self._export(active[-1], call) | {"stats": None})
        idle = self.switches["idle_last_running_export"]
        if idle == "404":
            raise self.error(404, "No export is running")
        return json_reply(None if idle == "null" else {"segment_export": None})

    def list_trash(self, call: Call) -> Reply:
        self._allow(call, WRITE_DESTINATION)
        text = call.query.get("searched_text")
        rows = [self._trashed(row, call) for row in self.destinations.values() if row["deleted"]]
        rows = [row for row in rows if (text or "").casefold() in row["name"].casefold()]
        limit, offset = self._limits(call)
        settings = {"limit": limit, "offset": offset, "searched_text": text}
        rows = rows[offset or 0 :][:limit]
        return self._answer({"trashed_segments_export_destinations": rows, "selection_settings": settings})

    def restore_destination(self, call: Call) -> Reply:
        self._allow(call, WRITE_DESTINATION)
        row = self.destinations.get(_number(call.params["destination_id"]))
        if row is None or not row["deleted"]:
            raise self.error(404, "Trashed segment export destination doesn't exist")
        row["deleted"] = 0
        return self._one("segment_export_destination", self._trashed(row, call))

    def _live(self, call: Call) -> Json:
        row = self.destinations.get(_number(call.params["destination_id"]))
        if row is None or row["deleted"]:
            raise self._missing(call, "Segment export destination doesn't exist")
        return row

    def _from_json_string(self, value: object) -> object:
        if not isinstance(value, str):
            return value if self.switches["json_strings"] == "lenient" else None
        try:
            return json.loads(value)
        except ValueError:
            return None

    def _active_exports(self, destination_id: int) -> list[Export]:
        now = self.clock.now()
        return [e for e in self.exports.values() if e.destination_id == destination_id and e.is_active(now)]

    def _destination(self, row: Json, fields: Sequence[str], call: Call) -> Json:
        shown = row | {
            "created": self._at(row["created"]),
            "last_export": self._last(e for e in self.exports.values() if e.destination_id == row["id"]),
            "data_load_start_time": None,
            "data_load_end_time": None,
        }
        return {f: shown[f] for f in fields} | ({"user": _user(row["user_id"])} if _is_full(call) else {})

    def _trashed(self, row: Json, call: Call) -> Json:
        shown = self._destination(row, DESTINATION, call)
        return shown | {"settings": {}} if self.switches["trash_settings"] == "empty" else shown

    # Segments.

    def list_segments(self, call: Call) -> Reply:
        seen = {who for who in ("my", "shared_with_me", "foreign") if call.integer(f"show_{who}", 0, 0, 1)} or {"my"}
        text = call.query.get("name_filter", "").casefold()
        rows = [row for row in self.segments.values() if row["_of"] in seen and text in row["name"].casefold()]
        return self._page(call, "segments", [self._segment(row) for row in rows], SEGMENT_COLUMNS)

    def get_segment(self, call: Call) -> Reply:
        return self._one("segment", self._segment(self._segment_of(call)))

    def _segment_of(self, call: Call) -> Json:
        row = self.segments.get(_number(call.params["segment_id"]))
        if row is None:
            raise self._missing(call, "Segment doesn't exist")
        return row

    def _segment(self, row: Json) -> Json:
        created = self._at(row["created"])
        return {name: value for name, value in row.items() if name != "_of"} | {
            "created": created,
            "origin_created": created,
            "last_export": self._last(e for e in self.exports.values() if e.segment_id == row["id"]),
        }

    # Exports.

    def list_exports(self, call: Call) -> Reply:
        self._allow(call, READ_EXPORT, call.params["segment_id"])
        segment = self._segment_of(call)
        rows = [self._export(e, call) for e in self.exports.values() if e.segment_id == segment["id"]]
        return self._page(call, "segment_exports", rows, EXPORT_COLUMNS)

    def run_export(self, call: Call) -> Reply:
        self._allow(call, RUN_EXPORT)
        segment, body = self._segment_of(call), _object(call)
        if unknown := body.keys() - {"segment_export_destination_id", "name"}:
            raise Invalid(f"Unknown attribute {min(unknown)}")
        destination_id, name = body.get("segment_export_destination_id"), body.get("name", "")
        if type(destination_id) is not int or not isinstance(name, str):
            raise Invalid("segment_export_destination_id must be a number, and name a text")
        destination = self.destinations.get(destination_id)
        if destination is None or destination["deleted"]:
            raise Invalid("Segment export destination doesn't exist")
        self._allow(call, RUN_EXPORT, destination_id=destination_id)
        if destination["disabled"]:
            raise self.error(self.switches["disabled_destination_status"], "Segment export destination is disabled")
        run = self.start_run()
        if self.switches["first_status"] == "running":
            run.waiting_s = 0.0
        settings = {"conditions_operation": segment["settings"]["conditions_operation"]}
        outcome = self.switches["exports_end_in"]
        export = Export(self.ids.number(), segment["id"], destination_id, name, settings, run, outcome)
        self.exports[export.id] = export
        # A token shows in later reads only, as in the samples.
        return self._one("segment_export", self._export(export, call) | {"file_download_token": None}, 201)

    def get_export(self, call: Call) -> Reply:
        return self._one("segment_export", self._export(self._export_of(call, READ_EXPORT), call))

    def cancel_export(self, call: Call) -> Reply:
        export, status = self._export_of(call, CANCEL_EXPORT), self.switches["cancel_final_status"]
        if export.is_active(self.clock.now()):
            export.run.cancelled_s = self.clock.now()
        elif status != 200:  # noqa: PLR2004 - 200 makes it idempotent
            raise self.error(status, f"Segment export is {export.status(self.clock.now())}")
        return self._one("segment_export", self._export(export, call, WITHOUT_TOKEN))

    def list_history(self, call: Call) -> Reply:
        export = self._export_of(call, READ_EXPORT)
        # The first item is the present, whose id is null; of the others the sample shows no id.
        present = ("id", "segment_export")
        older = present if self.switches["history_ids"] == "present" else ("segment_export",)
        rows = [
            {name: item[name] for name in (older if n else present)}
            for n, item in enumerate(self._history(export, call))
        ]
        return self._page(call, "history_list", rows, ("id",))

    def get_history_item(self, call: Call) -> Reply:
        items = self._history(self._export_of(call, READ_EXPORT), call)
        item = next((item for item in items if item["id"] == call.params["history_id"]), None)
        if item is None:
            raise self._missing(call, "Segment export history doesn't exist")
        return self._one("history", item)

    def list_logs(self, call: Call) -> Reply:
        export, embedded = self._export_of(call, READ_EXPORT), {}
        if _is_full(call):
            embedded = {"segment_export": self._export(export, call)}
        rows = [
            {"id": export.id * 100 + n, "segment_export_id": export.id, "level": level, "text": text}
            | {"created": self._at(at)}
            | embedded
            for n, (level, text, at) in enumerate(_log_lines(export, self.clock.now()), 1)
        ]
        return self._page(call, "segment_export_logs", rows, LOG_COLUMNS)

    def download(self, call: Call) -> Reply:
        export = self._export_of(call, DOWNLOAD_EXPORT)
        destination = self.destinations[export.destination_id]
        is_file = "registration_token_attribute_id" not in destination["settings"]
        if not is_file or "finished" not in dict(export.reached(self.clock.now())):
            raise self.error(self.switches["no_file_status"], "Segment export has no file to download")
        columns = destination["attribute_ids"] or ["customer_entity_id"]
        return self._file(call, f"export-{export.id}.csv", columns)

    def _file(self, call: Call, filename: str, columns: Sequence[str]) -> Reply:
        rows = self.switches["download_rows"]
        head = (",".join(columns) + "\n").encode()
        length = len(head) + rows * len(_csv_line(columns, 1))
        headers = {
            "Content-Type": self.switches["download_content_type"],
            "Content-Disposition": {
                "plain": f'attachment; filename="{filename}"',
                "encoded": f"attachment; filename*=UTF-8''m%C3%A9dia-{filename}",
                "absent": "absent",
            }[self.switches["download_filename"]],
        }
        headers = {name: value for name, value in headers.items() if value != "absent"}
        first, _, rest = call.headers.get("Range", "").removeprefix("bytes=").partition("-")
        skipped, status = 0, 200
        if self.switches["download_ranges"] and first.isdecimal() and rest == "":
            skipped, status = int(first), 206
            if skipped >= length:
                raise ApiError(416, {"message": phrase(416)}, {"Content-Range": f"bytes */{length}"})
            headers["Content-Range"] = f"bytes {skipped}-{length - 1}/{length}"
        chunked = self.switches["download_framing"] == "chunked"
        return Reply(_csv(head, columns, rows, skipped), status, headers, None if chunked else length - skipped)

    def _export_of(self, call: Call, features: Iterable[str]) -> Export:
        self._allow(call, features, call.params["segment_id"])
        export = self.exports.get(_number(call.params["export_id"]))
        if export is None or str(export.segment_id) != call.params["segment_id"]:
            raise self._missing(call, "Segment export doesn't exist")
        self._allow(call, features, export.segment_id, export.destination_id)
        return export

    def _export(self, export: Export, call: Call, fields: Sequence[str] = EXPORT) -> Json:
        reached = export.reached(self.clock.now())
        times = dict(reached)
        if self.switches["statuses_history"] == "documented":
            listed = {s: times.get(s, export.run.created_s) for s in ("waiting", "running", "finished")}
            times = listed | {s: at for s, at in times.items() if s != "canceled"}
        shown = {
            "id": export.id,
            "user_id": export.user_id,
            "segment_id": export.segment_id,
            "segment_export_destination_id": export.destination_id,
            "name": export.name,
            "settings": export.settings,
            "frontend_settings": {},
            "status": reached[-1][0],
            "stats": {"statuses_history": {status: self._at(at) for status, at in times.items()}},
            "file_download_token": f"fake-file-token-{export.id}",
            "created": self._at(export.run.created_s),
        }
        embedded = {}
        if _is_full(call):
            destination = self.destinations[export.destination_id]
            embedded = {
                "user": _user(export.user_id),
                "segment": self._segment(self.segments[export.segment_id]),
                "segment_export_destination": self._destination(destination, LISTED, call),
            }
        return {f: shown[f] for f in fields} | embedded

    def _history(self, export: Export, call: Call) -> list[Json]:
        """Return the present snapshot, whose id is null, then one item a status reached, oldest first."""
        snapshot = self._export(export, call, WITHOUT_TOKEN) | {"settings": {}, "stats": None}
        items: list[Json] = [{"id": None, "segment_export": snapshot, "diff": {}}]
        before = None
        for n, (status, _) in enumerate(export.reached(self.clock.now()), 1):
            diff: Json = {"status": {"from": before, "to": status}} if before else {}
            items.append({"id": f"{export.id}{n:02}", "segment_export": snapshot | {"status": status}, "diff": diff})
            before = status
        return items

    # What all answers share.

    def _page(self, call: Call, key: str, rows: list[Json], columns: Sequence[str]) -> Reply:
        newest_first = self.switches["default_order"] == "newest" and not {"order_by", "order_dir"} & call.query.keys()
        default = ("created" if "created" in columns else "id", "DESC") if newest_first else ("id", "ASC")
        order_by = call.query.get("order_by", default[0])
        order_dir = call.query.get("order_dir", default[1])
        if order_by not in columns:
            raise Invalid(f"order_by must be one of {', '.join(columns)}")
        if order_dir not in ("ASC", "DESC"):
            raise Invalid("order_dir must be ASC or DESC")
        limit, offset = self._limits(call)

        def place(row: Json) -> tuple[bool, Any]:
            value = row.get(order_by)
            return value is not None, value if value is not None else ""

        rows = sorted(rows, key=place, reverse=order_dir == "DESC")[offset or 0 :][:limit]
        settings = {"limit": limit, "offset": offset, "order_by": order_by, "order_dir": order_dir}
        return self._answer({key: rows, "selection_settings": settings})

    def _limits(self, call: Call) -> tuple[int, int | None]:
        return min(call.integer("limit", 20, 1), self.switches["max_limit"]), call.integer("offset", None)

    def _one(self, key: str, row: Json, status: int = 200) -> Reply:
        return self._answer({key: row}, status)

    def _answer(self, body: Json, status: int = 200) -> Reply:
        return json_reply(_ids_as_strings(body) if self.switches["ids"] == "string" else body, status)

    def _missing(self, call: Call, message: str) -> ApiError:
        if call.method == "GET" and self.switches["null_body_for_missing"]:
            return ApiError(200, None)
        return self.error(404, message)

    def _at(self, epoch_s: float) -> str:
        return datetime.fromtimestamp(epoch_s + self.switches["zone_h"] * HOUR_S, UTC).strftime(
            DATE_FORMS[self.switches["dates"]]
        )

    def _last(self, exports: Iterable[Export]) -> str | None:
        created = [export.run.created_s for export in exports]
        return self._at(max(created)) if created else None


def _object(call: Call) -> Json:
    body = call.json()
    if not isinstance(body, dict):
        raise Invalid("The request body must be a JSON object")
    return body


def _number(text: str) -> int:
    """Return the id, or one that nothing has."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= len("999999999") else -1


def _is_full(call: Call) -> bool:
    return call.integer("load_full_structure", 0, 0, 1) == 1


def _user(user_id: int) -> Json:
    return {"id": user_id, "email": USERS[user_id]}


def _ids_as_strings(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return [_ids_as_strings(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _field_with_string_ids(name, inner) for name, inner in value.items()}


def _field_with_string_ids(name: str, value: Any) -> Any:  # noqa: ANN401 - any JSON
    # Settings are the tenant's own, whatever their keys are called.
    if name in {"settings", "selection_settings"}:
        return value
    is_id = isinstance(value, int) and (name == "id" or name.endswith("_id"))
    return str(value) if is_id else _ids_as_strings(value)


def _log_lines(export: Export, now_s: float) -> list[tuple[str, str, float]]:
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


def _csv_line(columns: Sequence[str], n: int) -> bytes:
    """Return the line of member *n*, as long as every other."""
    values = (f"member-{n:09}@shop.example" if "email" in column else f"{column}-{n:09}" for column in columns)
    return (",".join(values) + "\n").encode()


def _csv(head: bytes, columns: Sequence[str], rows: int, skipped: int) -> Iterator[bytes]:
    """Yield the file from byte *skipped* on, in pieces of about 64 KiB."""
    first, start = divmod(max(0, skipped - len(head)), len(_csv_line(columns, 1)))
    piece = bytearray(head[skipped:])
    for n in range(first + 1, rows + 1):
        piece += _csv_line(columns, n)[start:]
        start = 0
        if len(piece) >= 64 * 1024:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


# The seed: an obviously invented shop. Times are so many days before now, so that states hold under any clock.


def _seed_destinations(now: float) -> Iterator[Json]:
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


def _seed_segments(now: float) -> Iterator[Json]:
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


def _seed_exports(now: float, segments: Mapping[int, Json]) -> Iterator[Export]:
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
    "secrets": ["fake-password-of-nothing", "sandbox-token", PASSWORD],
}
