"""Simulator toolkit: one vendor's stateful HTTP API over loopback, with a clock, switches, faults and a journal.

A simulator subclasses `Sandbox`: `routes` and `seed` are all that it must give; `authorize`, `error` and `stamp` are
hooks. Handlers take a `Call` and give a `Reply`; they never see the connection, so every fault works for each of them.

The control surface is the same for every vendor, so that tests in any language can use it (JSON both ways):

    POST   /_sandbox/reset     seed state, no faults, empty journal, clock offset 0, switches at their defaults
    POST   /_sandbox/clock     {"advance_s": 60}
    POST   /_sandbox/faults    {"path": "*", "method": "GET", "count": 1, "status": 503, …}; see `Fault`
    DELETE /_sandbox/faults
    GET    /_sandbox/journal   {"requests": [...]}, oldest first; see `Sandbox.journal`
    GET    /_sandbox/state     what the vendor holds and shows nobody; see its `state`
    GET    /_sandbox/switches  {"switches": {name: value}, "documentation": {name: {"default", "choices", "doc"}}}
    POST   /_sandbox/switches  {name: value, ...}, all or none
"""

import asyncio
import contextlib
import inspect
import ipaddress
import json
from collections import deque
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from aiohttp import web

from adapters.sandbox_faults import Fault, is_seconds, make_fault
from adapters.sandbox_http import (
    GONE,
    ApiError,
    Call,
    Handler,
    Invalid,
    Reply,
    Routes,
    TooLarge,
    error_reply,
    hang_up,
    journal_body,
    journal_entry,
    json_reply,
    send,
    strip_content_type,
)
from adapters.sandbox_multipart import Multipart, Part
from adapters.sandbox_world import Clock, Ids, Run, Stage, Switch, Token, TokenBook

# What a vendor's simulator imports from here.
__all__ = [
    "ApiError",
    "Call",
    "Clock",
    "Handler",
    "Ids",
    "Invalid",
    "Multipart",
    "Part",
    "Reply",
    "Run",
    "Sandbox",
    "Stage",
    "Switch",
    "Token",
    "TokenBook",
    "json_reply",
    "phrase",
]

CONTROL = "/_sandbox/"
JOURNAL_ENTRIES = 10_000


class Sandbox:
    """One vendor's simulator. What it knows is gone with it, and it binds to loopback only."""

    vendor: ClassVar[str]
    prefixes: ClassVar[tuple[str, ...]] = ("",)
    """What base URLs add to the vendor's documented paths: the globs of faults may leave it out."""
    switch_table: ClassVar[Mapping[str, Switch]] = {}
    """The vendor's own switches; `TIMING` is added to them."""
    max_body_bytes: ClassVar[int] = 2 * 1024 * 1024
    """A longer request gets 413, before it is read where its length is announced."""
    streamed: ClassVar[frozenset[str]] = frozenset()
    """The keys of `routes` whose handlers read the body themselves, by `Call.piece`: it may be larger than memory."""

    TIMING: ClassVar[Mapping[str, Switch]] = {
        "waiting_s": Switch(5.0, float, "how long a job that starts from now on waits"),
        "running_s": Switch(20.0, float, "how long a job that starts from now on runs"),
    }

    def __init__(self, *, frozen_at: float | None = None) -> None:
        self.clock = Clock(frozen_at)
        self.documentation = {**self.TIMING, **self.switch_table}
        self.switches: dict[str, Any] = {}
        """Present values, to read; `set_switches` sets."""
        self.faults: list[Fault] = []
        self.journal: deque[dict[str, Any]] = deque(maxlen=JOURNAL_ENTRIES)
        """One a request, oldest first: `method`; `path` as received; `query_string`; `query` as `[name, value]` pairs;
        `headers`, repeated ones joined by ", "; `body` as text, or "" and `body_base64` where it is not UTF-8, cut at
        64 KiB; `body_bytes`, its whole length; `accepted`, whether it was handled and not refused, even if the answer
        never came; `status`, null where none was sent."""
        self._runner: web.AppRunner | None = None
        self._routes = Routes(self.routes())
        self.reset()

    # What a vendor gives.

    def routes(self) -> Mapping[str, Handler]:
        """Return the handlers by method and path template: `{"GET /api/things/{thing_id}": self.get_thing}`."""
        raise NotImplementedError

    def seed(self) -> None:
        """Lay the seed state anew, with times relative to the clock."""
        raise NotImplementedError

    def connection_settings(self, base_url: str) -> dict[str, Any]:
        """Return the configuration keys of a connection to this simulator at *base_url*; secrets as plain text."""
        raise NotImplementedError

    @property
    def suite(self) -> dict[str, Any]:
        """Parameters for the conformance suite, about the seed state. What a vendor can't have is left out.

        Ids are the API's (several parts joined by `~`). Messages are plain dicts in protobuf's JSON form, in which
        "{connection}" stands for the connection's id; filters are in the API's grammar.

        - `switches`: what the suite sets after a reset; the seed is described as it is then
        - `logins`: paths of calls that only fetch a credential, which count as no requests
        - `destination_id`: live, enabled, used by no job that is not final, so that it may be changed and deleted
        - `used_destination_id`: live, with a job that is not final; `used_job_id` is the newest such job
        - `disabled_destination_id`, `deleted_destination_id`, `unknown_destination_id`
        - `destination`: a Destination to create; `destination_patch`: what an update of `destination_id` sets
        - `destination_count`, `deleted_destination_count`: how many lists have
        - `audience_id`: can be exported to `destination_id`; `unknown_audience_id`
        - `export_job`: an ExportJob to create, for `destination_id`
        - `jobs`: our state's name -> id of a job in it, and "UNRECOGNIZED" for one whose word nobody knows;
          `unknown_job_id`
        - `export_jobs_filter`: what ListExportJobs needs at least; `many_export_jobs_filter` selects
          `many_export_job_count` jobs, at least 25
        - `download_job_id`, `download_artifact_id`: something to download; `undownloadable_job_id`: nothing yet
        - `log_job_id`, `revision_job_id`: jobs with several log entries, revisions; `revision_id`: one of them
        - `subscription_id`, `unknown_subscription_id`, `subscription`, `subscription_patch`: of `destination_id`
        - `metrics`: a QueryDeliveryMetricsRequest without its name
        - `members`: AudienceMember messages for `member_destination_id`
        """
        return {}

    def authorize(self, call: Call) -> None:
        """Refuse a call without the right credential; runs before every handler and before 404. Raises: ApiError."""

    def error(self, status: int, message: str = "", call: Call | None = None) -> ApiError:
        """Make the vendor's error; also for 400, 404, 405, 413 of the toolkit and for faults with a bare status."""
        return ApiError(status, {"message": message or phrase(status)})

    def stamp(self, call: Call, reply: Reply) -> None:
        """Add what every answer of the vendor carries; not done to answers of faults."""

    def state(self) -> dict[str, Any]:
        """Return, as JSON, what tests may want to know and the vendor has no call for."""
        return {}

    # What tests and the control surface do.

    def reset(self) -> None:
        """Go back to the seed state: no faults, empty journal, clock offset 0, switches at their defaults."""
        self.clock.offset_s = 0.0
        self.faults.clear()
        self.journal.clear()
        self.switches = {name: switch.default for name, switch in self.documentation.items()}
        self.seed()

    def set_switches(self, /, **values: Any) -> None:
        """Set switches, all or none. Raises: ValueError."""
        for name, value in values.items():
            if name not in self.documentation:
                raise ValueError(f"no switch {name!r}; there are {', '.join(self.documentation)}")
            if not self.documentation[name].admits(value):
                choices = self.documentation[name].choices
                wanted = "a number from 0" if isinstance(choices, type) else " or ".join(map(json.dumps, choices))
                raise ValueError(f"{name} must be {wanted}, not {json.dumps(value, default=repr)}")
        self.switches.update(values)

    def fault(self, /, **keys: Any) -> None:
        """Queue a `Fault` of these keys. Raises: ValueError."""
        self.faults.append(make_fault(keys))

    def start_run(self) -> Run:
        """Make the run of a job that starts now, as long as the switches say."""
        return Run(self.clock.now(), self.switches["waiting_s"], self.switches["running_s"])

    # Serving.

    @property
    def app(self) -> web.Application:
        """A new application over this simulator's state, for a runner of your own."""
        app = web.Application()
        app.router.add_route("*", r"/{path:[\s\S]*}", self._serve)
        app.on_response_prepare.append(strip_content_type)
        return app

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, on a free port for 0, and return the base URL. Raises: ValueError where *host* is not loopback."""
        if not _is_loopback(host):
            raise ValueError(f"a simulator listens on loopback only, not on {host!r}")
        # Nothing of a simulator is worth waiting for: a delayed answer must not hold the stop up.
        runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        bound_host, bound_port = runner.addresses[0][:2]
        return f"http://[{bound_host}]:{bound_port}" if ":" in bound_host else f"http://{bound_host}:{bound_port}"

    async def stop(self) -> None:
        """Close the listener and its connections; the state stays, and it may be started again."""
        runner, self._runner = self._runner, None
        if runner:
            await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.raw_path.startswith(CONTROL):
            return await send(request, await self._control(request))
        call = Call(request, self.max_body_bytes)
        handlers = self._match(call)
        entry = journal_entry(call)
        self.journal.append(entry)
        fault = self._take_fault(call)
        refused = fault is not None and (fault.answers() or fault.drop == "before")
        try:
            # A streamed body is read by its handler; what that leaves is read all the same, before the answer.
            streamed = await self._reply_to(call, handlers) if call.route in self.streamed and not refused else None
            await self._read_body(call, keep=call.route not in self.streamed)
        except GONE:
            return hang_up(request)
        finally:
            entry.update(journal_body(call))
        if fault and fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        if fault and fault.drop == "before":
            return hang_up(request)
        if fault and fault.answers():
            reply = fault.reply(lambda status: self.error(status, "", call))
        else:
            reply = streamed or await self._reply_to(call, handlers)
            entry["accepted"] = reply.status < HTTPStatus.BAD_REQUEST
        if fault:
            reply = fault.changed(reply)
        if request.transport is None or (fault and fault.drop == "after"):
            return hang_up(request)
        entry["status"] = reply.status
        if fault is None:
            return await send(request, reply)
        return await send(request, reply, truncate=fault.drop == "truncate", trickle_s=fault.trickle_s)

    def _match(self, call: Call) -> Mapping[str, Handler]:
        template, handlers, call.params = self._routes.find(call.path)
        call.route = f"{call.method} {template}" if call.method in handlers else ""
        return handlers

    async def _read_body(self, call: Call, *, keep: bool) -> None:
        """Read the body to its end, or until it is too long; kept, it is in the one buffer that the handler gets."""
        with contextlib.suppress(TooLarge):
            while piece := await call.piece():
                if keep:
                    call.body += piece

    async def _reply_to(self, call: Call, handlers: Mapping[str, Handler]) -> Reply:
        try:
            return await self._handle(call, handlers)
        except TooLarge:
            return error_reply(self.error(413, "", call))
        except ApiError as error:
            return error_reply(error)
        except Invalid as error:
            return error_reply(self.error(400, str(error), call))

    async def _handle(self, call: Call, handlers: Mapping[str, Handler]) -> Reply:
        if call.body_bytes > self.max_body_bytes:
            raise TooLarge
        self.authorize(call)
        # No vendor documents HEAD, so there is nothing there.
        if not handlers or call.method == "HEAD":
            raise self.error(404, "", call)
        if call.method not in handlers:
            error = self.error(405, "", call)
            error.headers.setdefault("Allow", ", ".join(sorted(handlers)))
            raise error
        answer = handlers[call.method](call)
        reply = await answer if inspect.isawaitable(answer) else answer
        self.stamp(call, reply)
        return reply

    def _take_fault(self, call: Call) -> Fault | None:
        fault = next((fault for fault in self.faults if fault.matches(call, self.prefixes)), None)
        if fault and fault.count == 1:
            self.faults.remove(fault)
        elif fault and fault.count:
            fault.count -= 1
        return fault

    # The control surface.

    async def _control(self, request: web.Request) -> Reply:
        verbs: dict[str, Callable[[Any], object]] = {
            "POST reset": self._control_reset,
            "POST clock": self._control_clock,
            "POST faults": self._control_faults,
            "DELETE faults": self._control_no_faults,
            "GET journal": lambda _: {"requests": list(self.journal)},
            "GET state": lambda _: self.state(),
            "GET switches": lambda _: self._control_switches({}),
            "POST switches": self._control_switches,
        }
        name = request.path.removeprefix(CONTROL)
        verb = verbs.get(f"{request.method} {name}")
        if verb is None:
            allowed = [key.split()[0] for key in verbs if key.endswith(f" {name}")]
            surface = [key.replace(" ", f" {CONTROL}") for key in verbs]
            return json_reply({"error": "there is nothing here", "surface": surface}, 405 if allowed else 404)
        try:
            text = await request.text()
            body = json.loads(text) if text.strip() else {}
            if not isinstance(body, dict):
                raise Invalid("the body must be a JSON object")
            return json_reply(verb(body))
        except (ValueError, Invalid) as error:
            return json_reply({"error": str(error), "switches": list(self.documentation)}, 400)

    def _control_reset(self, body: dict[str, Any]) -> object:
        self.reset()
        return {}

    def _control_clock(self, body: dict[str, Any]) -> object:
        if set(body) != {"advance_s"} or not is_seconds(body["advance_s"]):
            raise ValueError('the body must be {"advance_s": seconds from 0}')
        self.clock.advance(body["advance_s"])
        return {"now_s": self.clock.now()}

    def _control_faults(self, body: dict[str, Any]) -> object:
        self.fault(**body)
        return {"faults": len(self.faults)}

    def _control_no_faults(self, body: dict[str, Any]) -> object:
        self.faults.clear()
        return {"faults": 0}

    def _control_switches(self, body: dict[str, Any]) -> object:
        self.set_switches(**body)
        described = {
            name: {
                "default": switch.default,
                "choices": "number" if isinstance(switch.choices, type) else switch.choices,
                "doc": switch.doc,
            }
            for name, switch in self.documentation.items()
        }
        return {"switches": self.switches, "documentation": described}


def phrase(status: int) -> str:
    """Return the usual words for an HTTP status, for errors that the documentation gives none for."""
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else f"Status {status}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
