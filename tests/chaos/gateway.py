"""The real gateway as its own process, killed and started again; each life on a port of its own."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import grpc
import msgspec

from adapters import registry
from adapters.secrets import Secret
from tests.chaos.store import Store
from tests.conformance.client import Stubs, stubs
from tests.gateway.acme import toml

START_S = 180.0
CLOSING_S = 5.0
UNHURRIED = {"breaker_failures": 1000, "breaker_calls": 1000}
"""A vendor that drops every second answer is no reason to wait for it here."""


def configure(folder: Path, store: Store, simulators: Mapping[str, str]) -> dict[str, str]:
    """Write the configuration of a gateway over simulators, by vendor; return the environment with its secrets."""
    environ = dict(store.environ)
    connections = []
    for vendor, base_url in simulators.items():
        kinds = {
            field.encode_name: field.type for field in msgspec.structs.fields(registry.adapters()[vendor].Settings)
        }
        keys: dict[str, object] = {"id": vendor, "vendor": vendor, "policy": UNHURRIED}
        # Where an adapter can mark what it sends, that is what makes a lost answer found again.
        keys |= {name: True for name in kinds if name.startswith("mark_")}
        for name, value in registry.sandbox(vendor)().connection_settings(base_url).items():
            if Secret.__name__ in str(kinds[name]):
                variable = f"CHAOS_{vendor}_{name}".upper()
                environ[variable] = str(value)
                keys[name] = {"env": variable}
            else:
                keys[name] = value
        connections.append(keys)
    document = {"listen": "127.0.0.1:0", "ledger": store.settings, "connections": connections}
    (folder / "gateway.toml").write_text("".join(f"{name} = {toml(value)}\n" for name, value in document.items()))
    return environ


class Gateway:
    """One after the other."""

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        *arguments: str,
        mourn: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Take where `configure` wrote; *mourn* is called after each death, before the next one starts."""
        self._command = [sys.executable, "-m", "gateway", "serve", "--config", str(folder / "gateway.toml"), *arguments]
        self._mourn = mourn
        self._environ = {**os.environ, **environ}
        self.address = ""
        self._process: Process | None = None
        self._starting = asyncio.Lock()
        self._channel: grpc.aio.Channel | None = None
        self._stubs: Stubs | None = None
        self._reading: asyncio.Task[None] | None = None
        self.lines: deque[str] = deque(maxlen=1000)
        """What it logged last."""

    async def up(self) -> Stubs:
        """Return the stubs of one that serves; start it where there is none."""
        async with self._starting:
            if self._process is None or self._process.returncode is not None or self._stubs is None:
                await self._start()
            assert self._stubs is not None
            return self._stubs

    def kill(self) -> bool:
        """Send SIGKILL at once; False where there is none that serves."""
        if self._process is None or self._process.returncode is not None or self._stubs is None:
            return False
        self._process.kill()
        self._stubs = None
        return True

    async def close(self) -> None:
        """End it for good."""
        self._stubs = None
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        await self._gone()

    async def _start(self) -> None:
        if self._process is not None:
            await self._gone()
            if self._mourn is not None:
                await self._mourn()
        self._process = await asyncio.create_subprocess_exec(
            *self._command, env=self._environ, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE
        )
        async with asyncio.timeout(START_S):
            address = await self._ready()
        self._reading = asyncio.create_task(self._read())
        # The harness alone repeats, so that it can count.
        self.address = address
        self._channel = grpc.aio.insecure_channel(address, [("grpc.enable_retries", 0)])
        self._stubs = stubs(self._channel)

    async def _gone(self) -> None:
        if self._channel is not None:
            # Calls on their way shall fail for what happened, and not be cancelled.
            await self._channel.close(CLOSING_S)
        if self._process is not None:
            await self._process.wait()
        if self._reading is not None:
            await self._reading

    async def _ready(self) -> str:
        assert self._process is not None
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self.lines.append(line.decode())
            # What is no JSON is a traceback.
            if line.startswith(b"{") and (record := json.loads(line))["message"] == "ready":
                return str(record["address"])
        raise AssertionError("".join(self.lines))

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self.lines.append(line.decode())
