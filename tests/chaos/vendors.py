"""The vendors of a kill test: simulators that outlive the gateway, count what they take, and lose answers."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from aiohttp import web

from adapters import registry
from adapters.sandbox import Call, Handler, Reply, Sandbox
from adapters.sandbox_http import hang_up

Moment = Literal["arrived", "applied", "answered"]
"""Of a write at its vendor: before it is done, after it is done, after the answer has left."""


class Fate(NamedTuple):
    """What a vendor does with one write."""

    applied: bool = True
    answer: Literal["sent", "dropped", "failed"] = "sent"
    """`failed`: a 503, whether it was applied or not."""


class Script:
    """What happens to writes: decides on their fate, and hears of each step. The default: nothing bad."""

    def fate(self, vendor: str, route: str) -> Fate:
        return Fate()

    def at(self, moment: Moment, vendor: str, route: str, answer: bytes = b"") -> None:
        """Hear that a write is there; *answer* is what the vendor says to one that was applied."""


class Vendor(Sandbox):
    """A simulator that follows a script. Mixed into each vendor's own by `vendor`."""

    script: Script = Script()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            answered = await super()._serve(request)
        except ConnectionError:  # nobody is there any more
            return hang_up(request)
        if route := request.get("written"):
            self.script.at("answered", self.vendor, route)
        return answered

    async def _reply_to(self, call: Call, handlers: Mapping[str, Handler]) -> Reply:
        if call.method == "GET" or not call.route or call.path in self.suite.get("logins", ()):
            return await super()._reply_to(call, handlers)
        fate = self.script.fate(self.vendor, call.route)
        self.script.at("arrived", self.vendor, call.route)
        reply = Reply(status=503)
        if fate.applied:
            done = await super()._reply_to(call, handlers)
            if done.status >= 400:
                return done
            assert isinstance(done.body, bytes)
            self.script.at("applied", self.vendor, call.route, done.body)
            reply = done if fate.answer == "sent" else reply
        if fate.answer == "dropped" and call.request.transport is not None:
            call.request.transport.abort()
        call.request["written"] = call.route
        return reply


def vendor(id_: str) -> Callable[[], Any]:
    """Return the class of a vendor's simulator with a script."""
    return type("Scripted", (Vendor, registry.sandbox(id_)), {})
