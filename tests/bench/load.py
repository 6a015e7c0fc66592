"""The load: calls over one gRPC channel, in bytes that were made before, so that it costs as little as it can."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress

import grpc
from google.protobuf.message import Message

from tests.bench.processes import AUTHORIZED, Process

TIMEOUT_S = 120.0
METHODS = "/audiencegateway.v1."
OPTIONS = [("grpc.max_receive_message_length", 16 * 1024 * 1024)]


class Load:
    """Calls to one server."""

    def __init__(self, server: Process, channel: grpc.aio.Channel) -> None:
        self.server = server
        self._channel = channel

    async def call(self, method: str, request: Message) -> bytes:
        """Make one call; return its answer as it came."""
        return await self._unary(method)(request.SerializeToString(), timeout=TIMEOUT_S, metadata=AUTHORIZED)

    async def once(self, method: str, payload: bytes, timeout_s: float) -> bytes:
        """Make one call. Raises grpc.aio.AioRpcError."""
        return await self._unary(method)(payload, timeout=timeout_s, metadata=AUTHORIZED)

    async def watch(self, method: str, request: Message, seconds: float) -> int:
        """Receive a stream for some time, then cancel it; return how many messages came."""
        call: grpc.aio.UnaryStreamCall[bytes, bytes] = self._stream(method)(
            request.SerializeToString(), metadata=AUTHORIZED
        )
        received = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for _ in call:
                    received += 1
        call.cancel()
        return received

    async def calls(self, method: str, requests: Sequence[bytes], count: int, in_flight: int) -> float:
        """Make *count* calls, *in_flight* at a time; return how many seconds that took.

        *requests* are repeated, but never two of a kind at once, where they are a multiple of *in_flight*.
        """
        call = self._unary(method)

        async def one_after_another(first: int) -> None:
            for number in range(first, count, in_flight):
                await call(requests[number % len(requests)], timeout=TIMEOUT_S, metadata=AUTHORIZED)

        started_s = time.perf_counter()
        await asyncio.gather(*map(one_after_another, range(in_flight)))
        return time.perf_counter() - started_s

    async def latencies_ms(self, method: str, requests: Sequence[bytes], count: int) -> list[float]:
        """Make *count* calls, one after another; return how long each took."""
        call = self._unary(method)
        found = []
        for number in range(count):
            payload = requests[number % len(requests)]
            started_s = time.perf_counter()
            await call(payload, timeout=TIMEOUT_S, metadata=AUTHORIZED)
            found.append((time.perf_counter() - started_s) * 1000)
        return found

    async def paced_ms(self, calls: Sequence[tuple[str, bytes]], per_second: float, timeout_s: float) -> list[float]:
        """Make each call at its time, however long others take; return how long each took, failed ones too."""
        started_s = time.perf_counter()

        async def one(number: int, method: str, payload: bytes) -> float:
            await asyncio.sleep(started_s + number / per_second - time.perf_counter())
            began_s = time.perf_counter()
            with suppress(grpc.aio.AioRpcError):
                await self._unary(method)(payload, timeout=timeout_s, metadata=AUTHORIZED)
            return (time.perf_counter() - began_s) * 1000

        return await asyncio.gather(*(one(number, *call) for number, call in enumerate(calls)))

    async def upload(self, method: str, messages: Iterator[bytes]) -> bytes:
        """Send a stream; return its answer as it came."""
        call: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = self._channel.stream_unary(METHODS + method)
        return await call(messages, timeout=TIMEOUT_S, metadata=AUTHORIZED)

    async def download(self, method: str, request: Message) -> int:
        """Receive a stream; return how many bytes came."""
        size_bytes = 0
        async for message in self._stream(method)(request.SerializeToString(), timeout=TIMEOUT_S, metadata=AUTHORIZED):
            size_bytes += len(message)
        return size_bytes

    def _stream(self, method: str) -> grpc.aio.UnaryStreamMultiCallable[bytes, bytes]:
        return self._channel.unary_stream(METHODS + method)

    def _unary(self, method: str) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
        return self._channel.unary_unary(METHODS + method)


@asynccontextmanager
async def load(server: Process) -> AsyncIterator[Load]:
    """Open a channel to a server."""
    async with grpc.aio.insecure_channel(server.address, options=OPTIONS) as channel:
        yield Load(server, channel)
