"""One simulated instance of Meiro, and adapters connected to it whose clock is the simulator's."""

from contextlib import AsyncExitStack
from typing import Any

from adapters.meiro.adapter import MeiroAdapter, MeiroSettings
from adapters.meiro.sandbox import MeiroSandbox
from adapters.secrets import Secret
from adapters.transport import Timeouts, Transport

FROZEN_AT_S = 1_767_225_600.0  # 2026-01-01T00:00:00Z


class Meiro:
    """The simulator, and what it takes to connect to it."""

    def __init__(self, sandbox: MeiroSandbox, base_url: str, opened: AsyncExitStack) -> None:
        self.sandbox = sandbox
        self.base_url = base_url
        self.slept_s: list[float] = []
        self._opened = opened

    def connect(self, *, timeouts: Timeouts | None = None, **settings: Any) -> MeiroAdapter:
        """Return an adapter with a ready token, unless *settings* say how to log in."""

        async def sleep(seconds: float) -> None:
            self.slept_s.append(seconds)
            self.sandbox.clock.advance(seconds)

        now = self.sandbox.clock.now
        transport = Transport("meiro", "crm", timeouts=timeouts, now=now, clock=now, sleep=sleep, jitter=lambda: 0.0)
        self._opened.push_async_callback(transport.close)
        if "email" not in settings:
            settings = {"token": Secret("sandbox-token"), **settings}
        return MeiroAdapter("crm", MeiroSettings(base_url=self.base_url, **settings), transport)

    def log_in(self) -> MeiroAdapter:
        """Return an adapter that logs in by itself."""
        return self.connect(email="operator@shop.example", password=Secret("sandbox-password"))

    def requests(self, path: str = "") -> list[str]:
        """Return what the simulator received, as `METHOD path?query`, as far as *path* is in it."""
        lines = [f"{entry['method']} {entry['path']}?{entry['query_string']}" for entry in self.sandbox.journal]
        return [line.removesuffix("?") for line in lines if path in line]
