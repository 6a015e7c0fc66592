"""One process that serves, from its connections' opening to their close, and what tells it to stop."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Callable

from gateway import addresses
from gateway.connections import Connections
from gateway.settings import Settings

LOG = logging.getLogger("gateway")


class CanNotListen(Exception):
    """The address is in use, not of this machine, not permitted, or not to be resolved."""

    def __init__(self, listen: str, error: Exception) -> None:
        number = getattr(error, "errno", None) or 0
        # The system's own words, where it is its error; names that can't be resolved have numbers below 0.
        super().__init__(f"can't listen on {listen}: {os.strerror(number) if number > 0 else error}")


async def serve(settings: Settings, ready: Callable[[str], None], *, reuse_port: bool = False) -> None:
    """Serve until SIGTERM or SIGINT; then calls under way end first, and the connections last.

    *ready* is told the address. With *reuse_port* other processes serve the same one.

    Raises:
        CanNotListen: With the reason.
    """
    # Only what serves loads gRPC, and only after it was said how loud it may be.
    from gateway.server import build  # noqa: PLC0415 - as said above

    connections = await Connections.open(settings.connections, redis=settings.redis)
    try:
        server = build(settings, connections, reuse_port=reuse_port)
        try:
            if not reuse_port:
                addresses.check_free(settings.listen)
            address = await server.start()
        except (OSError, RuntimeError) as error:
            raise CanNotListen(settings.listen, error) from None
        stop = signalled()
        # What is there now stays there: no collection needs to look at it again.
        gc.collect()
        gc.freeze()
        ready(address)
        await stop.wait()
        LOG.info("stopping")
        await server.stop()
    finally:
        await connections.close()


def signalled() -> asyncio.Event:
    """Return what is set by the first SIGTERM or SIGINT; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def first() -> None:
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, first)
    return stop
