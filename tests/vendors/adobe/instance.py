"""One simulated sandbox of Adobe Experience Platform, and adapters connected to it whose clock is the simulator's."""

from contextlib import AsyncExitStack
from typing import Any

from adapters.adobe.adapter import AdobeAdapter, AdobeSettings
from adapters.adobe.sandbox import AdobeSandbox
from adapters.secrets import Secret
from adapters.transport import Timeouts, Transport

FROZEN_AT_S = 1_767_225_600.0  # 2026-01-01T00:00:00Z
LOGIN = "/ims/token/v3"
JOBS = "/data/core/ups/export/jobs"
DATASETS = "/data/foundation/catalog/dataSets"
NEWSLETTER = "5ca1ab1e0000000000000005"
BUSY = "5ca1ab1e0000000000000009"
SEGMENT = "5ca1ab1e-0000-4000-8000-000000000001"


class Adobe:
    """The simulator, and what it takes to connect to it."""

    def __init__(self, sandbox: AdobeSandbox, url: str, opened: AsyncExitStack) -> None:
        self.sandbox = sandbox
        self.url = url
        self.slept_s: list[float] = []
        self._opened = opened

    def connect(self, *, timeouts: Timeouts | None = None, **changes: Any) -> AdobeAdapter:
        """Return an adapter, with *changes* to the settings that the simulator gives."""

        async def sleep(seconds: float) -> None:
            self.slept_s.append(seconds)
            self.sandbox.clock.advance(seconds)

        now = self.sandbox.clock.now
        transport = Transport("adobe", "cdp", timeouts=timeouts, now=now, clock=now, sleep=sleep, jitter=lambda: 0.0)
        self._opened.push_async_callback(transport.close)
        settings = {**self.sandbox.connection_settings(self.url), **changes}
        settings["client_secret"] = Secret(settings["client_secret"])
        return AdobeAdapter("cdp", AdobeSettings(**settings), transport)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Return what the simulator received beside logins."""
        return [entry for entry in self.sandbox.journal if entry["path"] != LOGIN]

    def requests(self, path: str = "") -> list[str]:
        """Return what the simulator received beside logins, as `METHOD path?query`, as far as *path* is in it."""
        lines = [f"{entry['method']} {entry['path']}?{entry['query_string']}" for entry in self.calls]
        return [line.removesuffix("?") for line in lines if path in line]

    def logins(self) -> int:
        """Return how often a token was asked for."""
        return len(self.sandbox.journal) - len(self.calls)
