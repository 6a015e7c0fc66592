"""Meiro's simulator, written from its documentation: segment export destinations, segments, segment exports, login.

Docs:    https://docs.meiro.dev/docs/api/meiro-cdp-api (read 2026-11)
Auth:    `X-Access-Token`; `POST users/login` gives one for 8 hours, refreshed until 4 hours after it ended.
Paging:  limit (default 20) and offset; order_by, order_dir; no total anywhere.
Silence: where the documentation says nothing or contradicts itself there is a switch, see `SWITCHES`.
"""

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from adapters.meiro import sandbox_data as data
from adapters.meiro.sandbox_data import Export, Json
from adapters.sandbox import (
    ApiError,
    Call,
    Handler,
    Ids,
    Invalid,
    Reply,
    Sandbox,
    TokenBook,
    json_reply,
    phrase,
)

HOUR_S = 3600.0
TOKEN_LIFETIME_S = 8 * HOUR_S
REFRESH_GRACE_S = 4 * HOUR_S


class MeiroSandbox(Sandbox):
    """Users, destinations, segments and exports of an obviously invented shop."""

    vendor = "meiro"
    prefixes = ("/api",)
    switch_table = data.SWITCHES

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
        for value, grants in data.TOKENS.items():
            self.tokens.add(value, grants)
        self.destinations = {row["id"]: row for row in data.seed_destinations(now)}
        self.segments = {row["id"]: row for row in data.seed_segments(now)}
        self.exports = {export.id: export for export in data.seed_exports(now, self.segments)}

    @property
    def suite(self) -> dict[str, Any]:
        return copy.deepcopy(data.SUITE)

    # Access.

    def authorize(self, call: Call) -> None:
        if call.route in data.PUBLIC:
            return
        call.token = self.tokens.live(call.headers.get("X-Access-Token"))
        if call.token is None:
            raise self.error(self.switches["bad_token_status"], "Access token is missing, unknown or expired")

    def log_in(self, call: Call) -> Reply:
        body = _object(call)
        if body.get("email") not in data.USERS.values() or body.get("password") != data.PASSWORD:
            raise self.error(401, "Invalid credentials have been provided")
        return self._new_token()

    def log_in_by_code(self, call: Call) -> Reply:
        if _object(call).get("code") != data.OIDC_CODE:
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

    def _new_token(self, grants: Iterable[str] = data.TOKENS["sandbox-token"]) -> Reply:
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
        self._allow(call, data.READ_DESTINATION)
        rows = [self._destination(row, data.LISTED, call) for row in self.destinations.values() if not row["deleted"]]
        return self._page(call, "segment_export_destinations", rows, data.DESTINATION_COLUMNS)

    def get_destination(self, call: Call) -> Reply:
        self._allow(call, data.READ_DESTINATION)
        return self._one("segment_export_destination", self._destination(self._live(call), data.RETRIEVED, call))

    def modify_destination(self, call: Call) -> Reply:
        self._allow(call, data.WRITE_DESTINATION)
        row = self._live(call)
        changes = {}
        for name, value in _object(call).items():
            if name not in data.PATCH_FIELDS:
                raise Invalid(f"Unknown attribute {name}")
            valid, wanted = data.PATCH_FIELDS[name]
            decoded = self._from_json_string(value) if name in data.JSON_STRINGS else value
            if not valid(decoded):
                raise Invalid(f"{name} must be {wanted}")
            changes[name] = decoded
        row.update(changes)
        return self._one("segment_export_destination", self._destination(row, data.MODIFIED, call))

    def delete_destination(self, call: Call) -> Reply:
        self._allow(call, data.WRITE_DESTINATION)
        row = self._live(call)
        status = self.switches["used_destination_status"]
        if self._active_exports(row["id"]) and status != 200:  # noqa: PLR2004 - 200 lets it go
            raise self.error(status, "Segment export destination is used by an export")
        row["deleted"] = 1
        return json_reply({"message": "OK"})

    def last_running_export(self, call: Call) -> Reply:
        self._allow(call, data.LAST_RUNNING_EXPORT)
        active = self._active_exports(self._live(call)["id"])
        if active:
            return self._one("segment_export", self._export(active[-1], call) | {"stats": None})
        idle = self.switches["idle_last_running_export"]
        if idle == "404":
            raise self.error(404, "No export is running")
        return json_reply(None if idle == "null" else {"segment_export": None})

    def list_trash(self, call: Call) -> Reply:
        self._allow(call, data.WRITE_DESTINATION)
        text = call.query.get("searched_text")
        rows = [self._trashed(row, call) for row in self.destinations.values() if row["deleted"]]
        rows = [row for row in rows if (text or "").casefold() in row["name"].casefold()]
        limit, offset = self._limits(call)
        settings = {"limit": limit, "offset": offset, "searched_text": text}
        rows = rows[offset or 0 :][:limit]
        return self._answer({"trashed_segments_export_destinations": rows, "selection_settings": settings})

    def restore_destination(self, call: Call) -> Reply:
        self._allow(call, data.WRITE_DESTINATION)
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
        shown = self._destination(row, data.DESTINATION, call)
        return shown | {"settings": {}} if self.switches["trash_settings"] == "empty" else shown

    # Segments.

    def list_segments(self, call: Call) -> Reply:
        seen = {who for who in ("my", "shared_with_me", "foreign") if call.integer(f"show_{who}", 0, 0, 1)} or {"my"}
        text = call.query.get("name_filter", "").casefold()
        rows = [row for row in self.segments.values() if row["_of"] in seen and text in row["name"].casefold()]
        return self._page(call, "segments", [self._segment(row) for row in rows], data.SEGMENT_COLUMNS)

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
        self._allow(call, data.READ_EXPORT, call.params["segment_id"])
        segment = self._segment_of(call)
        rows = [self._export(e, call) for e in self.exports.values() if e.segment_id == segment["id"]]
        return self._page(call, "segment_exports", rows, data.EXPORT_COLUMNS)

    def run_export(self, call: Call) -> Reply:
        self._allow(call, data.RUN_EXPORT)
        segment, body = self._segment_of(call), _object(call)
        if unknown := body.keys() - {"segment_export_destination_id", "name"}:
            raise Invalid(f"Unknown attribute {min(unknown)}")
        destination_id, name = body.get("segment_export_destination_id"), body.get("name", "")
        if type(destination_id) is not int or not isinstance(name, str):
            raise Invalid("segment_export_destination_id must be a number, and name a text")
        destination = self.destinations.get(destination_id)
        if destination is None or destination["deleted"]:
            raise Invalid("Segment export destination doesn't exist")
        self._allow(call, data.RUN_EXPORT, destination_id=destination_id)
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
        return self._one("segment_export", self._export(self._export_of(call, data.READ_EXPORT), call))

    def cancel_export(self, call: Call) -> Reply:
        export, status = self._export_of(call, data.CANCEL_EXPORT), self.switches["cancel_final_status"]
        if export.is_active(self.clock.now()):
            export.run.cancelled_s = self.clock.now()
        elif status != 200:  # noqa: PLR2004 - 200 makes it idempotent
            raise self.error(status, f"Segment export is {export.status(self.clock.now())}")
        return self._one("segment_export", self._export(export, call, data.WITHOUT_TOKEN))

    def list_history(self, call: Call) -> Reply:
        export = self._export_of(call, data.READ_EXPORT)
        # The first item is the present, whose id is null; of the others the sample shows no id.
        present = ("id", "segment_export")
        older = present if self.switches["history_ids"] == "present" else ("segment_export",)
        rows = [
            {name: item[name] for name in (older if n else present)}
            for n, item in enumerate(self._history(export, call))
        ]
        return self._page(call, "history_list", rows, ("id",))

    def get_history_item(self, call: Call) -> Reply:
        items = self._history(self._export_of(call, data.READ_EXPORT), call)
        item = next((item for item in items if item["id"] == call.params["history_id"]), None)
        if item is None:
            raise self._missing(call, "Segment export history doesn't exist")
        return self._one("history", item)

    def list_logs(self, call: Call) -> Reply:
        export, embedded = self._export_of(call, data.READ_EXPORT), {}
        if _is_full(call):
            embedded = {"segment_export": self._export(export, call)}
        rows = [
            {"id": export.id * 100 + n, "segment_export_id": export.id, "level": level, "text": text}
            | {"created": self._at(at)}
            | embedded
            for n, (level, text, at) in enumerate(data.log_lines(export, self.clock.now()), 1)
        ]
        return self._page(call, "segment_export_logs", rows, data.LOG_COLUMNS)

    def download(self, call: Call) -> Reply:
        export = self._export_of(call, data.DOWNLOAD_EXPORT)
        destination = self.destinations[export.destination_id]
        is_file = "registration_token_attribute_id" not in destination["settings"]
        if not is_file or "finished" not in dict(export.reached(self.clock.now())):
            raise self.error(self.switches["no_file_status"], "Segment export has no file to download")
        columns = destination["attribute_ids"] or ["customer_entity_id"]
        return self._file(call, f"export-{export.id}.csv", columns)

    def _file(self, call: Call, filename: str, columns: Sequence[str]) -> Reply:
        rows = self.switches["download_rows"]
        head = (",".join(columns) + "\n").encode()
        length = len(head) + rows * len(data.csv_line(columns, 1))
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
        return Reply(data.csv(head, columns, rows, skipped), status, headers, None if chunked else length - skipped)

    def _export_of(self, call: Call, features: Iterable[str]) -> Export:
        self._allow(call, features, call.params["segment_id"])
        export = self.exports.get(_number(call.params["export_id"]))
        if export is None or str(export.segment_id) != call.params["segment_id"]:
            raise self._missing(call, "Segment export doesn't exist")
        self._allow(call, features, export.segment_id, export.destination_id)
        return export

    def _export(self, export: Export, call: Call, fields: Sequence[str] = data.EXPORT) -> Json:
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
                "segment_export_destination": self._destination(destination, data.LISTED, call),
            }
        return {f: shown[f] for f in fields} | embedded

    def _history(self, export: Export, call: Call) -> list[Json]:
        """Return the present snapshot, whose id is null, then one item a status reached, oldest first."""
        snapshot = self._export(export, call, data.WITHOUT_TOKEN) | {"settings": {}, "stats": None}
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
        return datetime.fromtimestamp(epoch_s, UTC).strftime(data.DATE_FORMS[self.switches["dates"]])

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
    return {"id": user_id, "email": data.USERS[user_id]}


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
