"""Downloads: whole or from an offset, never short without saying so, never faster than they are read."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from adapters import calls, errors, streams
from adapters.auth import FixedAuth, Token, TokenAuth
from adapters.calls import Call
from adapters.errors import DownloadInterrupted, InvalidRequest, ProtocolViolation, TimedOut, Unavailable
from adapters.http import Http
from adapters.policy import Policy
from adapters.secrets import Secret
from adapters.streams import Stream
from adapters.transport import Timeouts
from tests.adapters.conftest import NOW_S, Dial, Serve
from tests.adapters.loopback import Handler, answer, answers, drop, silence

FILE = bytes(range(256)) * 40
NAME = "connections/main/exportJobs/1"


async def until_the_break(http: Http, offset: int = 0) -> tuple[bytes, DownloadInterrupted]:
    """Return what came of a download that breaks off, and what is said of it."""
    got = b""
    try:
        async with http.stream("f", offset=offset) as stream:
            async for chunk in stream.chunks:
                got += chunk
    except DownloadInterrupted as error:
        return got, error
    raise AssertionError


async def read(http: Http, offset: int = 0) -> tuple[bytes, int | None]:
    """Return a whole download, and the size it was said to have."""
    async with http.stream("f", offset=offset, resource=NAME) as stream:
        return b"".join([chunk async for chunk in stream.chunks]), stream.size_bytes


def whole(*, chunked: bool = False) -> Handler:
    """Return a handler that knows no ranges."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        if chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = len(FILE)
        await response.prepare(request)
        for start in range(0, len(FILE), 1000):
            await response.write(FILE[start : start + 1000])
        return response

    return handler


def ranged(*, total: str = str(len(FILE)), said: str | None = None) -> Handler:
    """Return a handler that honours `Range: bytes=N-`; *said* replaces what it answers of the range."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if start >= len(FILE):
            return web.Response(status=416, text="no such range", headers={"Content-Range": f"bytes */{total}"})
        span = f"bytes {start}-{len(FILE) - 1}/{total}" if said is None else said
        return web.Response(status=206, body=FILE[start:], headers={"Content-Range": span} if span else None)

    return handler


def broken(*, chunked: bool, after: int, stall: bool = False) -> Handler:
    """Return a handler that breaks off, or stalls, *after* so many bytes of the file, wherever it began."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        if chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = len(FILE)
        await response.prepare(request)
        await response.write(FILE[:after])
        if stall:
            await asyncio.Event().wait()
        assert request.transport is not None
        request.transport.close()
        return response

    return handler


# --- Whole, or from an offset --------------------------------------------------------------------------------------


async def test_a_file_is_read_whole_as_it_is(serve: Serve, dial: Dial) -> None:
    vendor = await serve(whole())
    line = dial(vendor.url + "/base", auth=FixedAuth({"X-Key": "k"}), headers={"X-Org": "o"})
    assert await read(line.http) == (FILE, len(FILE))
    [received] = vendor.received
    assert (received.method, received.target) == ("GET", "/base/f")
    assert received.headers["Accept-Encoding"] == "identity"
    assert (received.headers["X-Key"], received.headers["X-Org"]) == ("k", "o")
    assert "Range" not in received.headers


async def test_the_size_of_a_file_in_chunks_is_not_known(serve: Serve, dial: Dial) -> None:
    vendor = await serve(whole(chunked=True))
    assert await read(dial(vendor.url).http) == (FILE, None)


async def test_an_empty_file_is_a_file(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(web.Response))
    assert await read(dial(vendor.url).http) == (b"", 0)


@pytest.mark.parametrize("offset", [1, 999, 1000, 1001, len(FILE) - 1])
async def test_an_offset_is_asked_for_by_range(serve: Serve, dial: Dial, offset: int) -> None:
    vendor = await serve(ranged())
    assert await read(dial(vendor.url).http, offset) == (FILE[offset:], len(FILE))
    assert vendor.received[0].headers["Range"] == f"bytes={offset}-"


async def test_a_range_of_a_file_without_a_known_size(serve: Serve, dial: Dial) -> None:
    vendor = await serve(ranged(total="*"))
    assert await read(dial(vendor.url).http, 7) == (FILE[7:], None)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("offset", [1, 999, 1000, 1001, len(FILE) - 1, len(FILE)])
async def test_where_ranges_are_not_known_the_beginning_is_skipped(
    serve: Serve, dial: Dial, offset: int, chunked: bool
) -> None:
    vendor = await serve(whole(chunked=chunked))
    assert await read(dial(vendor.url).http, offset) == (FILE[offset:], None if chunked else len(FILE))


async def test_a_partial_answer_to_the_whole_is_the_whole(serve: Serve, dial: Dial) -> None:
    vendor = await serve(ranged())
    assert await read(dial(vendor.url).http) == (FILE, len(FILE))


@pytest.mark.parametrize(
    "said",
    [
        "",
        "bytes 0-10239/10240",
        "bytes 6-10239/10240",
        "bytes 50-10239/10240",
        "bytes */10240",
        "bytes five-10239/10240",
        "bytes 5/10240",
        "bytes 5-10239/" + "9" * 5000,
        "5-10239/10240",
        "items 5-10239/10240",
        "bytes \u0665-10239/10240",
    ],
    ids=range(11),
)
async def test_another_range_than_the_one_asked_for_is_refused(serve: Serve, dial: Dial, said: str) -> None:
    vendor = await serve(ranged(said=said))
    with pytest.raises(ProtocolViolation) as caught:
        await read(dial(vendor.url).http, 5)
    assert caught.value.fault.http_status == 206
    assert (caught.value.vendor, caught.value.connection) == ("acme", "main")


@pytest.mark.parametrize("handler", [ranged(), whole(), whole(chunked=True)], ids=["ranged", "length", "chunked"])
async def test_an_offset_beyond_the_end_is_the_callers_mistake(serve: Serve, dial: Dial, handler: Handler) -> None:
    vendor = await serve(handler)
    with pytest.raises(InvalidRequest) as caught:
        await read(dial(vendor.url).http, len(FILE) + 1)
    assert caught.value.reason == "INVALID_FIELD"
    assert caught.value.violations[0].field == "read_offset"
    assert len(vendor.received) == 1


@pytest.mark.parametrize("handler", [ranged(), whole()], ids=["ranged", "length"])
async def test_where_the_size_is_known_nothing_is_read_before_an_offset_beyond_it(
    serve: Serve, dial: Dial, handler: Handler
) -> None:
    vendor = await serve(handler)
    with pytest.raises(InvalidRequest):
        async with dial(vendor.url).http.stream("f", offset=len(FILE) + 1):
            raise AssertionError


@pytest.mark.parametrize("handler", [ranged(), whole(), whole(chunked=True)], ids=["ranged", "length", "chunked"])
async def test_from_the_very_end_on_there_is_nothing_more(serve: Serve, dial: Dial, handler: Handler) -> None:
    # Where a download goes on whose last byte had come, but not its end.
    vendor = await serve(handler)
    rest, _ = await read(dial(vendor.url).http, len(FILE))
    assert rest == b""


async def test_a_range_that_nobody_asked_for_can_not_be_the_callers_mistake(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(answer(status=416)))
    with pytest.raises(errors.Rejected):
        await read(dial(vendor.url).http)


async def test_an_encoded_file_is_not_passed_on_as_the_file(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(lambda: web.Response(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})))
    with pytest.raises(ProtocolViolation):
        await read(dial(vendor.url).http)


async def test_a_charset_where_an_encoding_belongs_is_none(serve: Serve, dial: Dial) -> None:
    vendor = await serve(answers(lambda: web.Response(body=FILE, headers={"Content-Encoding": "UTF-8"})))
    assert (await read(dial(vendor.url).http))[0] == FILE


@pytest.mark.parametrize(
    ("header", "filename"),
    [
        (None, ""),
        ("attachment", ""),
        ('attachment; filename="a b.csv"', "a b.csv"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ("attachment; filename=C:\\x\\a.csv", "a.csv"),
        ("attachment; filename*=UTF-8''%C3%A9.csv", "é.csv"),
    ],
)
async def test_a_file_has_the_name_that_the_vendor_gives_it(
    serve: Serve, dial: Dial, header: str | None, filename: str
) -> None:
    headers = {"Content-Disposition": header} if header else None
    vendor = await serve(answers(lambda: web.Response(body=FILE, headers=headers)))
    async with dial(vendor.url).http.stream("f") as stream:
        assert stream.filename == filename
        assert stream.headers["Content-Length"] == str(len(FILE))


# --- Breaking off --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("stall", [False, True])
@pytest.mark.parametrize(("offset", "at"), [(0, 3000), (2999, 3000), (5000, 5000)])
async def test_a_download_that_breaks_off_says_where(
    serve: Serve, dial: Dial, *, chunked: bool, stall: bool, offset: int, at: int
) -> None:
    vendor = await serve(broken(chunked=chunked, after=3000, stall=stall))
    got, error = await until_the_break(dial(vendor.url, timeouts=Timeouts(idle_s=0.1)).http, offset)
    # What was handed on ends exactly where it says.
    assert error.metadata == {"offset": str(at)}
    assert got == FILE[offset:at]
    assert error.reason == "DOWNLOAD_INTERRUPTED"
    assert (error.vendor, error.connection) == ("acme", "main")
    assert len(vendor.received) == 1


async def test_a_range_that_breaks_off_counts_from_the_start_of_the_file(serve: Serve, dial: Dial) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(status=206, headers={"Content-Range": f"bytes 100-{len(FILE) - 1}/{len(FILE)}"})
        response.content_length = len(FILE) - 100
        await response.prepare(request)
        await response.write(FILE[100:150])
        assert request.transport is not None
        request.transport.close()
        return response

    vendor = await serve(handler)
    with pytest.raises(DownloadInterrupted) as caught:
        await read(dial(vendor.url).http, 100)
    assert caught.value.metadata == {"offset": "150"}


async def test_a_download_that_goes_on_where_it_broke_off_is_the_whole(serve: Serve, dial: Dial) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if "Range" in request.headers:
            return await ranged()(request)
        return await broken(chunked=False, after=3000)(request)

    line = dial((await serve(handler)).url)
    got, error = await until_the_break(line.http)
    rest, _ = await read(line.http, int(error.metadata["offset"]))
    assert got + rest == FILE


# --- At the reader's pace ------------------------------------------------------------------------------------------


class Tap:
    """A handler that sends for ever and counts what was taken from it."""

    def __init__(self) -> None:
        self.taken_bytes = 0

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"z" * 100_000)
            self.taken_bytes += 100_000

    async def settled(self) -> int:
        """Return what was taken once nothing more is for a while."""
        while True:
            before = self.taken_bytes
            for _ in range(200):
                await asyncio.sleep(0)
            if self.taken_bytes == before:
                return before


async def test_a_slow_reader_holds_the_vendor_back(serve: Serve, dial: Dial) -> None:
    tap = Tap()
    line = dial((await serve(tap)).url, timeouts=Timeouts(idle_s=0.1))
    async with line.http.stream("f") as stream, aclosing(_of(stream)) as chunks:
        read_bytes = len(await anext(chunks))
        ahead_bytes = await tap.settled() - read_bytes
        # What two sockets hold, not what the vendor could send.
        assert ahead_bytes < 20_000_000
        # A pause of the reader's own is no stall of the vendor's.
        paused = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, paused.set)
        await paused.wait()
        assert await tap.settled() == read_bytes + ahead_bytes
        while read_bytes < 50_000_000:
            read_bytes += len(await anext(chunks))
        assert await tap.settled() - read_bytes < 20_000_000


async def _of(stream: Stream) -> AsyncGenerator[bytes, None]:
    async for chunk in stream.chunks:
        yield chunk


@pytest.mark.parametrize("leave", ["break", "raise", "at once", "cancel"])
async def test_a_reader_that_stops_early_closes_the_vendors_connection(serve: Serve, dial: Dial, leave: str) -> None:
    tap = Tap()
    vendor = await serve(tap)
    line = dial(vendor.url)

    async def reader() -> None:
        async with line.http.stream("f") as stream:
            if leave == "at once":
                return
            async for _ in stream.chunks:
                if leave == "raise":
                    raise KeyError
                if leave == "break":
                    break
                await asyncio.Event().wait()

    reading = asyncio.create_task(reader())
    if leave == "cancel":
        await tap.settled()
        reading.cancel()
    await asyncio.wait([reading])
    async with asyncio.timeout(5):
        await vendor.handler_gone.wait()
    # And the next call gets a fresh one.
    async with line.http.stream("f"):
        assert vendor.connections == 2


async def test_a_file_read_to_its_end_gives_its_connection_back(serve: Serve, dial: Dial) -> None:
    vendor = await serve(whole())
    line = dial(vendor.url)
    for _ in range(3):
        await read(line.http)
    assert vendor.connections == 1


async def test_a_download_has_no_end_but_its_own(serve: Serve, dial: Dial) -> None:
    async def slowly(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        later = asyncio.Event()
        await response.write(b"a")
        asyncio.get_running_loop().call_later(0.15, later.set)
        await later.wait()
        await response.write(b"b")
        return response

    line = dial((await serve(slowly)).url, timeouts=Timeouts(operation_s=0.05, attempt_s=0.05, idle_s=5.0))
    # The time to the first byte is an operation's; from then on only a stall ends it.
    assert (await read(line.http))[0] == b"ab"


# --- Before the first byte -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [answers(answer(status=503)), drop, silence], ids=["503", "reset", "silent"])
async def test_what_goes_wrong_before_the_first_byte_is_tried_again(serve: Serve, dial: Dial, first: Handler) -> None:
    left = [first]

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return await (left.pop() if left else whole())(request)

    vendor = await serve(handler)
    line = dial(vendor.url, timeouts=Timeouts(idle_s=0.05))
    assert (await read(line.http))[0] == FILE
    assert len(vendor.received) == 2
    assert line.slept == [0.05]


@pytest.mark.parametrize(
    ("handler", "kind"),
    [(answers(answer(status=503)), Unavailable), (drop, Unavailable), (silence, TimedOut)],
    ids=["503", "reset", "silent"],
)
async def test_a_download_that_never_begins_is_given_up_after_three_attempts(
    serve: Serve, dial: Dial, handler: Handler, kind: type[errors.VendorError]
) -> None:
    vendor = await serve(handler)
    with pytest.raises(kind):
        await read(dial(vendor.url, timeouts=Timeouts(idle_s=0.05)).http)
    assert len(vendor.received) == 3


async def test_a_download_that_does_not_begin_ends_with_the_callers_deadline(serve: Serve, dial: Dial) -> None:
    vendor = await serve(silence)
    clock = asyncio.get_running_loop().time
    begun = clock()
    with calls.serving(Call(begun + 0.15)), pytest.raises(TimedOut):
        await read(dial(vendor.url).http)
    assert 0.1 <= clock() - begun < 5


async def test_a_refused_token_is_renewed_before_a_download(serve: Serve, dial: Dial) -> None:
    fetched: list[Token | None] = []

    async def fetch(present: Token | None) -> Token:
        fetched.append(present)
        return Token(Secret(f"t{len(fetched)}"), NOW_S + 3600)

    def headers(token: str) -> Mapping[str, str]:
        return {"Authorization": token}

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        good = request.headers["Authorization"] == "t2"
        return await (whole() if good else answers(answer(status=401)))(request)

    vendor = await serve(handler)
    line = dial(vendor.url, auth=TokenAuth(fetch, headers, now=lambda: NOW_S))
    assert (await read(line.http))[0] == FILE
    assert len(vendor.received) == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, ProtocolViolation),
        (403, errors.PermissionMissing),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (429, errors.RateLimited),
    ],
)
async def test_a_refused_download_is_the_error_that_the_contract_says(
    serve: Serve, dial: Dial, status: int, kind: type[errors.VendorError]
) -> None:
    vendor = await serve(answers(answer({"code": "E"}, status=status, headers={"Location": "/elsewhere"})))
    line = dial(vendor.url, policy=Policy(attempts=1))
    with pytest.raises(kind) as caught:
        async with line.http.stream("f", resource=NAME, conflict="EXPORT_JOB_NOT_DOWNLOADABLE", permission="p"):
            raise AssertionError
    assert caught.value.fault.code == "E"
    assert caught.value.reason == {404: "EXPORT_JOB_NOT_FOUND", 409: "EXPORT_JOB_NOT_DOWNLOADABLE"}.get(
        status, kind.reason
    )
    assert len(vendor.received) == 1


# --- For all offsets -----------------------------------------------------------------------------------------------


@given(st.integers(0, len(FILE)), st.lists(st.integers(1, 4000), max_size=20), st.booleans())
def test_every_offset_of_every_cut_is_exact(offset: int, cuts: list[int], by_range: bool) -> None:
    # The arithmetic alone, without a socket.
    begin = offset if by_range else 0

    class Content:
        async def iter_any(self) -> AsyncIterator[bytes]:
            position = begin
            for cut in [*cuts, len(FILE)]:
                yield FILE[position : position + cut]
                position += cut

    class Response:
        content = Content()

    async def got() -> bytes:
        return b"".join([chunk async for chunk in streams._chunks(None, Response(), begin, offset)])  # type: ignore[arg-type]  # a double

    assert asyncio.run(got()) == FILE[offset:]
