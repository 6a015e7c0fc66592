"""Acme's simulator, written from its documentation: a log-in, targets, and runs of segments to them.

Docs:    https://docs.acme.example/rest/v2 (read 2026-11)
Auth:    `Authorization: Bearer`; `POST oauth/token` gives one for 8 hours.
Paging:  limit (default 20, at most 50) and `after`, from `next` of the page before; targets by age, runs newest first.
Silence: where the documentation says nothing there is a switch, see `SWITCHES`.
"""

import base64
import copy
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from adapters.sandbox import ApiError, Call, Handler, Ids, Invalid, Reply, Run, Sandbox, Switch, TokenBook, json_reply
from adapters.sandbox import phrase as usual_words

Json = dict[str, Any]

DAY_S = 86_400.0
TOKEN_LIFE_S = 8 * 3600.0
CLIENT = {"client_id": "gateway", "client_secret": "acme-sandbox-secret"}
TARGET_SECRET = "acme-sandbox-sftp-password"
MAX_LIMIT, DEFAULT_LIMIT = 50, 20
SEGMENTS = {"seg-1", "seg-2", "seg-3"}
CHANNELS = {"sftp", "webhook"}
SWITCHES = {
    "runs_end_in": Switch("done", ("done", "done_with_errors", "failed"), "how runs end that start from now on"),
    "stopping_s": Switch(0.0, float, "how long a stop takes; until then a run says `stopping`"),
    "used_target_status": Switch(409, (409, 422), "the answer to deleting a target that a run goes to"),
}
WORDS = {"waiting": "queued", "running": "working", "cancelling": "stopping", "cancelled": "stopped"}


@dataclass
class RunOfSegments:
    """One run. Its status follows from the clock alone."""

    id: str
    target_id: str
    segment_ids: list[str]
    run: Run
    label: str = ""
    reference: str = ""
    outcome: str = "done"
    """Its status once it has ended."""

    def status(self, now_s: float) -> str:
        """Return the present status."""
        return WORDS.get(self.run.stage(now_s), self.outcome)

    def is_over(self, now_s: float) -> bool:
        """Say whether nothing can stop it any more."""
        return self.run.stage(now_s) in {"ended", "cancelled"}


class AcmeSandbox(Sandbox):
    """A workspace of an obviously invented shop."""

    vendor = "acme"
    prefixes = ("/v2",)
    switch_table = SWITCHES

    def routes(self) -> Mapping[str, Handler]:
        return {
            "POST /v2/oauth/token": self.log_in,
            "GET /v2/targets": self.list_targets,
            "POST /v2/targets": self.create_target,
            "GET /v2/targets/{target_id}": self.get_target,
            "PATCH /v2/targets/{target_id}": self.change_target,
            "DELETE /v2/targets/{target_id}": self.delete_target,
            "GET /v2/runs": self.list_runs,
            "POST /v2/runs": self.start_segments,
            "GET /v2/runs/{run_id}": self.get_run,
            "POST /v2/runs/{run_id}/stop": self.stop_run,
            "GET /v2/runs/{run_id}/file": self.download,
        }

    def connection_settings(self, base_url: str) -> Json:
        return {"base_url": f"{base_url}/v2/", **CLIENT}

    # The seed.

    def seed(self) -> None:
        now = self.clock.now()
        self.ids, self.tokens = Ids(900), TokenBook(self.clock)
        self.targets: dict[str, Json] = {}
        for number in range(1, 13):
            age_s = (40 - number) * DAY_S
            self.targets[f"tgt-{number:02}"] = {
                "id": f"tgt-{number:02}",
                "label": f"Target {number}",
                "note": f"Made for campaign {number}" if number % 2 else None,
                "paused": number == PAUSED,
                "channel": "sftp" if number % 3 else "webhook",
                "options": {"folder": f"/in/{number}", "password": TARGET_SECRET, "retries": number},
                "created_at": _time(now - age_s),
                "changed_at": _time(now - age_s / 2),
                "owner": "crm-team",
            }
        self.runs: dict[str, RunOfSegments] = {}
        for number in range(1, 31):
            self._seed_run(f"run-{number:03}", "tgt-03", now - (60 - number) * 3600)
        for status, (run_id, waiting_s, running_s) in SEED_RUNS.items():
            made = self._seed_run(run_id, "tgt-02", now - 30, waiting_s=waiting_s, running_s=running_s)
            if status in {"stopping", "stopped"}:
                made.run.cancelled_s, made.run.cancelling_s = now - 10, 1e9 if status == "stopping" else 0.0
            else:
                made.outcome = status

    def _seed_run(self, run_id: str, target_id: str, created_s: float, **timing: float) -> RunOfSegments:
        run = Run(created_s, **({"waiting_s": 1.0, "running_s": 1.0} | timing))
        self.runs[run_id] = RunOfSegments(run_id, target_id, ["seg-1"], run, label=f"Nightly {run_id}")
        return self.runs[run_id]

    @property
    def suite(self) -> Json:
        return copy.deepcopy(SUITE)

    # Access.

    def authorize(self, call: Call) -> None:
        if call.route == "POST /v2/oauth/token":
            return
        kind, _, value = call.headers.get("Authorization", "").partition(" ")
        call.token = self.tokens.live(value) if kind == "Bearer" else None
        if call.token is None:
            raise self.error(401, "The token is missing, unknown or expired")

    def log_in(self, call: Call) -> Reply:
        if call.json() != CLIENT:
            raise self.error(401, "No such client")
        token = self.tokens.issue(lifetime_s=TOKEN_LIFE_S)
        return json_reply({"access_token": token.value, "token_type": "bearer", "expires_in": TOKEN_LIFE_S})

    def error(self, status: int, message: str = "", call: Call | None = None, field: str = "") -> ApiError:
        problem = {"code": f"E{status}", "message": message or usual_words(status)}
        return ApiError(status, {"error": problem | ({"field": field} if field else {})}, {"X-Request-Id": "req-1"})

    def stamp(self, call: Call, reply: Reply) -> None:
        reply.headers.setdefault("X-Request-Id", "req-1")

    # Targets.

    def list_targets(self, call: Call) -> Reply:
        return self._page(call, list(self.targets), lambda key: self.targets[key])

    def get_target(self, call: Call) -> Reply:
        return json_reply(self._target(call.params["target_id"]))

    def create_target(self, call: Call) -> Reply:
        body = _object(call)
        self._check(body)
        if body.get("channel") not in CHANNELS:
            raise self.error(422, "must be sftp or webhook", field="channel")
        if any(row["label"] == body["label"] for row in self.targets.values()):
            raise self.error(409, "There is a target of this label")
        now = _time(self.clock.now())
        made = {"note": None, "paused": False, "options": {}, **body, "id": f"tgt-{self.ids.number()}"}
        made |= {"created_at": now, "changed_at": now, "owner": "gateway"}
        self.targets[made["id"]] = made
        return json_reply(made, 201)

    def change_target(self, call: Call) -> Reply:
        row, body = self._target(call.params["target_id"]), _object(call)
        self._check(row | body)
        for key in body.keys() - {"label", "note", "paused", "options"}:
            raise self.error(422, "can't be changed", field=key)
        row.update(body, changed_at=_time(self.clock.now()))
        return json_reply(row)

    def delete_target(self, call: Call) -> Reply:
        row, now = self._target(call.params["target_id"]), self.clock.now()
        if any(run.target_id == row["id"] and not run.is_over(now) for run in self.runs.values()):
            raise self.error(self.switches["used_target_status"], "A run goes to this target")
        return json_reply(self.targets.pop(row["id"]))

    def _target(self, target_id: str) -> Json:
        if target_id not in self.targets:
            raise self.error(404, f"There is no target {target_id}")
        return self.targets[target_id]

    def _check(self, body: Json) -> None:
        if not isinstance(body.get("label"), str) or not body["label"].strip():
            raise self.error(422, "must be a text that is not empty", field="label")
        if not isinstance(body.get("paused", False), bool):
            raise self.error(422, "must be true or false", field="paused")
        if not isinstance(body.get("options", {}), dict):
            raise self.error(422, "must be an object", field="options")

    # Runs.

    def list_runs(self, call: Call) -> Reply:
        wanted = {name: call.query[name] for name in ("target_id", "reference") if name in call.query}
        found = [run for run in self.runs.values() if all(getattr(run, name) == wanted[name] for name in wanted)]
        found.sort(key=lambda run: (run.run.created_s, run.id), reverse=True)
        return self._page(call, [run.id for run in found], lambda key: self._shown(self.runs[key]))

    def get_run(self, call: Call) -> Reply:
        return json_reply(self._shown(self._run(call)))

    def start_segments(self, call: Call) -> Reply:
        body = _object(call)
        row, segment_ids = self._target(str(body.get("target_id"))), body.get("segment_ids")
        if not isinstance(segment_ids, list) or not segment_ids:
            raise self.error(422, "must be a list of segments", field="segment_ids")
        if not set(segment_ids) <= SEGMENTS:
            raise self.error(404, "There is no such segment")
        if row["paused"]:
            raise self.error(409, "The target is paused")
        made = RunOfSegments(f"run-{self.ids.number()}", row["id"], segment_ids, self.start_run())
        made.label, made.reference = body.get("label", ""), body.get("reference", "")
        made.outcome = self.switches["runs_end_in"]
        self.runs[made.id] = made
        return json_reply(self._shown(made), 201)

    def stop_run(self, call: Call) -> Reply:
        run, now = self._run(call), self.clock.now()
        if run.run.stage(now) == "ended":
            raise self.error(409, "The run is over")
        if run.run.cancelled_s is None:
            run.run.cancelled_s, run.run.cancelling_s = now, self.switches["stopping_s"]
        return json_reply(self._shown(run))

    def download(self, call: Call) -> Reply:
        run, now = self._run(call), self.clock.now()
        if run.run.stage(now) != "ended" or run.status(now) == "failed":
            raise self.error(409, "The run has no file")
        name = f'attachment; filename="{run.id}.csv"'
        return Reply(_file(run), headers={"Content-Type": "text/csv", "Content-Disposition": name})

    def _run(self, call: Call) -> RunOfSegments:
        run_id = call.params["run_id"]
        if run_id not in self.runs:
            raise self.error(404, f"There is no run {run_id}")
        return self.runs[run_id]

    def _shown(self, run: RunOfSegments) -> Json:
        now = self.clock.now()
        status, stage = run.status(now), run.run.stage(now)
        ended_s = run.run.cancelled_s if stage == "cancelled" else run.run.ended_s if stage == "ended" else None
        sent = int(100 * run.run.progress(now))
        return {
            "id": run.id,
            "target_id": run.target_id,
            "segment_ids": run.segment_ids,
            "status": status,
            "label": run.label or None,
            "reference": run.reference or None,
            "priority": "normal",
            "counts": {"total": 100, "sent": sent, "failed": 3 if status == "done_with_errors" else 0},
            "failure": {"code": "SFTP", "message": "The server did not answer"} if status == "failed" else None,
            "file_bytes": len(_file(run)) if stage == "ended" and status != "failed" else None,
            "created_at": _time(run.run.created_s),
            "started_at": _time(run.run.started_s) if stage in {"running", "ended"} else None,
            "ended_at": None if ended_s is None else _time(ended_s),
        }

    # Pages.

    def _page(self, call: Call, keys: list[str], show: Any) -> Reply:
        """Answer the part of *keys* that follows `after`, which says the last key given."""
        limit = call.integer("limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
        after = _last_key(call.query.get("after", ""))
        start = 0
        if after:
            # What `after` names may be gone by now; keys stand in one order, or in the other.
            rising = keys == sorted(keys)
            start = sum(key <= after if rising else key >= after for key in keys)
        part = keys[start : start + limit]
        more = start + limit < len(keys)
        cursor = base64.urlsafe_b64encode(part[-1].encode()).decode() if part and more else None
        return json_reply({"items": [show(key) for key in part], "next": cursor})


def _last_key(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor).decode()
    except ValueError as error:
        raise Invalid("after is no cursor of this list") from error


def _object(call: Call) -> Json:
    body = call.json()
    if not isinstance(body, dict):
        raise Invalid("The body must be an object")
    return body


def _time(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _file(run: RunOfSegments) -> bytes:
    rows = "".join(f"{run.id},customer-{number:03}\n" for number in range(100))
    return f"run,customer\n{rows}".encode()


PAUSED = 5
# Its id, how long it waits and runs: 30 seconds ago it began.
SEED_RUNS = {
    "queued": ("run-101", 1e6, 1.0e3),
    "working": ("run-102", 1.0, 1.0e6),
    "done": ("run-103", 1.0, 1.0),
    "done_with_errors": ("run-104", 1.0, 1.0),
    "failed": ("run-105", 1.0, 1.0),
    "stopping": ("run-106", 1.0, 1e6),
    "stopped": ("run-107", 1.0, 1e6),
    "hibernating": ("run-108", 1.0, 1.0),
}
SUITE: Json = {
    "logins": ["/v2/oauth/token"],
    "destination_id": "tgt-01",
    "used_destination_id": "tgt-02",
    "used_job_id": "run-108",
    "disabled_destination_id": "tgt-05",
    "unknown_destination_id": "tgt-99",
    "destination_count": 12,
    "destination": {
        "display_name": "Newsletter",
        "description": "Every Monday",
        "custom": {"channel": "sftp", "options": {"folder": "/in/new", "password": "acme-sandbox-new-password"}},
    },
    "destination_patch": {
        "display_name": "Other name",
        "description": "Other note",
        "disabled": True,
        "custom": {"options": {"folder": "/in/other", "deep": {"er": [1, 2.5, None, True]}}},
    },
    "audience_id": "seg-2",
    "unknown_audience_id": "seg-9",
    "export_job": {
        "display_name": "By hand",
        "destination": "connections/{connection}/destinations/tgt-01",
        "audiences": [{"audience_id": "seg-1"}, {"audience_id": "seg-2"}],
    },
    "jobs": {
        "PENDING": "run-101",
        "RUNNING": "run-102",
        "SUCCEEDED": "run-103",
        "PARTIALLY_SUCCEEDED": "run-104",
        "FAILED": "run-105",
        "CANCELLING": "run-106",
        "CANCELLED": "run-107",
        "UNRECOGNIZED": "run-108",
    },
    "unknown_job_id": "run-999",
    "export_jobs_filter": "",
    "many_export_jobs_filter": 'destination = "connections/{connection}/destinations/tgt-03"',
    "many_export_job_count": 30,
    "download_job_id": "run-103",
    "download_artifact_id": "file",
    "undownloadable_job_id": "run-102",
    "secrets": [TARGET_SECRET, "acme-sandbox-secret"],
}
