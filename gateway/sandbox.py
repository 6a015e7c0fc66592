"""Simulators of the vendors, in this process, and the configuration of a gateway over them."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from adapters import registry
from gateway.settings import ServerSettings, Settings, connection_in_plain_text

if TYPE_CHECKING:
    from adapters.sandbox import Sandbox  # what serves for real never loads a simulator

Running = Mapping[str, tuple["Sandbox", str]]
"""Simulators and their base URLs, by vendor."""
GRACE_S = 2.0
"""Nothing in a sandbox is worth waiting longer for."""


@asynccontextmanager
async def simulated(vendors: Iterable[str], host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Running]:
    """Run the simulators of registered vendors; yield them.

    Raises:
        OSError: The address is taken.
    """
    async with AsyncExitStack() as stack:
        running = {}
        for vendor in vendors:
            simulator = registry.sandbox(vendor)()
            running[vendor] = (simulator, await simulator.start(host, port))
            stack.push_async_callback(simulator.stop)
        yield running


def urls(running: Running) -> dict[str, str]:
    """Return the base URL of each simulator, by vendor."""
    return {vendor: base_url for vendor, (_, base_url) in running.items()}


def settings(listen: str, running: Running) -> Settings:
    """Return the configuration of a gateway over simulators: one connection each, with the vendor's id as its own."""
    connections = tuple(
        connection_in_plain_text(
            {
                "id": vendor,
                "vendor": vendor,
                "display_name": f"{vendor} simulator",
                **simulator.connection_settings(base_url),
            }
        )
        for vendor, (simulator, base_url) in running.items()
    )
    server = ServerSettings(reflection=True, shutdown_grace_s=GRACE_S)
    return Settings(listen=listen, server=server, connections=connections)
