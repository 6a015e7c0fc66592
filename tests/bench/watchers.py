"""`python -m tests.bench.watchers ADDRESS COUNT REQUEST`: that many watchers of one job, until they are killed.

Prints {"watching": COUNT} when each has had its first message, then for every line on its standard input {"received":
…}: how many messages all of them have had so far.
"""

import asyncio
import json
import sys

import grpc

from tests.bench.load import METHODS
from tests.bench.processes import AUTHORIZED
from tests.bench.work import WATCH

A_CHANNEL = 1000
AT_ONCE = 200
"""As many as Core takes in one go without a word of refusal."""


class Watchers:
    """Streams that are read as fast as they come."""

    def __init__(self) -> None:
        self.received = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self, channel: grpc.aio.Channel, count: int, request: bytes) -> None:
        """Open streams, and wait until each has told its job."""
        stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(METHODS + WATCH)
        told = [asyncio.get_running_loop().create_future() for _ in range(count)]
        calls = [stream(request, metadata=AUTHORIZED) for _ in told]
        self._tasks += map(asyncio.create_task, map(self._read, calls, told))
        await asyncio.gather(*told)

    async def _read(self, call: grpc.aio.UnaryStreamCall[bytes, bytes], told: "asyncio.Future[None]") -> None:
        async for _ in call:
            self.received += 1
            if not told.done():
                told.set_result(None)


async def watch(address: str, count: int, request: bytes) -> None:
    """Watch until killed."""
    watchers = Watchers()
    for first in range(0, count, A_CHANNEL):
        channel = grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        for begin in range(first, min(first + A_CHANNEL, count), AT_ONCE):
            await watchers.open(channel, min(AT_ONCE, count - begin, first + A_CHANNEL - begin), request)
    _print({"watching": count})
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        _print({"received": watchers.received})


def _print(found: object) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(watch(sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3])))
