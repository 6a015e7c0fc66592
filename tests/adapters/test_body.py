"""A body that is a file: sent whole with its length, in pieces, from its start in every attempt."""

import asyncio
import io
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import IO

import psutil
import pytest
from aiohttp import web

from adapters.body import PIECE_BYTES, File
from adapters.errors import OutcomeUnknown, Unavailable
from adapters.policy import Policy
from adapters.retry import Retry
from tests.adapters.conftest import Dial, Serve
from tests.adapters.loopback import answer, answers, drop

MIB = 1024 * 1024


def spooled(data: bytes) -> IO[bytes]:
    file = SpooledTemporaryFile(max_size=PIECE_BYTES)  # noqa: SIM115 - its test closes it
    file.write(data)
    return file


def pattern(size: int) -> bytes:
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


@pytest.mark.parametrize("size", [0, 1, 2, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES, 3_000_001])
@pytest.mark.parametrize("around", [(b"", b""), (b"<", b">"), (b"before ", b" behind")])
@pytest.mark.parametrize("retry", [Retry.ONCE, Retry.IDEMPOTENT])
async def test_a_file_arrives_whole_with_its_length(
    serve: Serve, dial: Dial, size: int, around: tuple[bytes, bytes], retry: Retry
) -> None:
    vendor, data = await serve(answers(answer({}))), pattern(size)
    head, tail = around
    with spooled(data) as file:
        body = File(file=file, size_bytes=size, head=head, tail=tail)
        await dial(vendor.url).http.send("POST", "x", retry=retry, body=body, headers={"Content-Type": "text/csv"})
    (received,) = vendor.received
    assert received.body == head + data + tail
    assert received.headers["Content-Length"] == str(len(received.body))
    assert received.headers["Content-Type"] == "text/csv"
    assert "Transfer-Encoding" not in received.headers


async def test_every_attempt_begins_at_the_start(serve: Serve, dial: Dial) -> None:
    vendor, data = await serve(answers(answer(status=429), answer(status=429), answer({}))), pattern(MIB)
    with spooled(data) as file:
        await dial(vendor.url).http.send("POST", "x", retry=Retry.ONCE, body=File(file=file, size_bytes=MIB, head=b"<"))
    assert [received.body for received in vendor.received] == [b"<" + data] * 3


async def test_what_was_sent_whole_is_not_sent_again(serve: Serve, dial: Dial) -> None:
    vendor = await serve(drop)
    with pytest.raises(OutcomeUnknown):
        await dial(vendor.url).http.send(
            "POST", "x", retry=Retry.ONCE, body=File(file=io.BytesIO(b"rows"), size_bytes=4, tail=b">")
        )
    assert [received.body for received in vendor.received] == [b"rows>"]


async def test_what_broke_off_is_known_not_to_be_accepted(serve: Serve, dial: Dial) -> None:
    async def some(request: web.BaseRequest) -> web.StreamResponse:
        await request.content.readany()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    vendor = await serve(some, read=False)
    with spooled(pattern(20 * MIB)) as file, pytest.raises(Unavailable, match="not sent"):
        await dial(vendor.url).http.send("POST", "x", retry=Retry.ONCE, body=File(file=file, size_bytes=20 * MIB))
    assert len(vendor.received) == 3


async def test_a_file_that_is_shorter_than_was_said_never_looks_whole(serve: Serve, dial: Dial) -> None:
    ended = asyncio.Event()

    async def count(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return web.json_response({"size": len(await request.read())})
        finally:
            ended.set()

    vendor = await serve(count, read=False)
    line = dial(vendor.url, policy=Policy(attempts=1))
    with pytest.raises(Unavailable, match="not sent"):
        await line.http.send(
            "POST", "x", retry=Retry.ONCE, body=File(file=io.BytesIO(pattern(MIB)), size_bytes=MIB + 1)
        )
    await ended.wait()


async def test_a_large_file_needs_no_memory(serve: Serve, dial: Dial) -> None:
    size, process = 64 * MIB, psutil.Process()
    peak = 0

    async def measure(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal peak
        got_bytes = 0
        async for chunk in request.content.iter_any():
            got_bytes += len(chunk)
            peak = max(peak, process.memory_info().rss)
        return web.json_response({"size": got_bytes})

    vendor = await serve(measure, read=False)
    with TemporaryFile() as file:
        for _ in range(64):
            file.write(pattern(MIB))
        before = process.memory_info().rss
        sent = await dial(vendor.url).http.send("POST", "x", retry=Retry.ONCE, body=File(file=file, size_bytes=size))
    assert sent.body == b'{"size": %d}' % size
    assert peak - before < 16 * MIB
