"""Acme's simulator, written from its documentation.

Docs:    https://docs.acme.example (read 2000-01)
Auth:    `Authorization: Bearer`.
Paging:  none that is known.
Silence: where the documentation says nothing or contradicts itself there is a switch, see `SWITCHES`.
"""

from collections.abc import Mapping
from typing import Any

from adapters.sandbox import Call, Handler, Sandbox, Switch, TokenBook

TOKEN = "sandbox-token"
SWITCHES: Mapping[str, Switch] = {}


class AcmeSandbox(Sandbox):
    """An account of an obviously invented shop."""

    vendor = "acme"
    switch_table = SWITCHES

    def routes(self) -> Mapping[str, Handler]:
        return {}

    def seed(self) -> None:
        self.tokens = TokenBook(self.clock)
        self.tokens.add(TOKEN)

    def connection_settings(self, base_url: str) -> dict[str, Any]:
        return {"base_url": base_url, "token": TOKEN}

    @property
    def suite(self) -> dict[str, Any]:
        return {}

    def authorize(self, call: Call) -> None:
        kind, _, value = call.headers.get("Authorization", "").partition(" ")
        call.token = self.tokens.live(value) if kind == "Bearer" else None
        if call.token is None:
            raise self.error(401)
