"""One base URL of one connection: REST calls with deadline, retry and credentials, and every failure named.

Nothing here knows a vendor. An adapter declares method, path, query, body and retry class of each call, and gets a
decoded wire struct or an error of `adapters.errors`. Redirects are never followed: they could carry a credential
elsewhere. Bodies are asked for as they are (identity), read up to a limit, and never logged.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from multidict import CIMultiDictProxy
from yarl import URL

from adapters import calls, names, streams
from adapters.attempts import LOST, Ask, Attempts, Once, named_loss
from adapters.auth import Auth
from adapters.body import Body, File
from adapters.errors import (
    Conflict,
    Fault,
    NotFound,
    PermissionMissing,
    ProtocolViolation,
    VendorError,
    invalid_field,
)
from adapters.flights import Flight
from adapters.rates import READS, WRITES
from adapters.retry import Retry, believed_s, kind_of_answer, retry_after_s
from adapters.secrets import scrub
from adapters.streams import Stream
from adapters.transport import Transport

T = TypeVar("T")
V = TypeVar("V", bound=VendorError)
Query = Sequence[tuple[str, str]]
ReadFault = Callable[[int, Mapping[str, str], bytes], Fault]
"""A vendor's reading of its own error answers: HTTP status, headers, body."""

MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_VENDOR_MESSAGE_CHARS = 256
UPLOAD_BYTES = 1024 * 1024
"""A longer body has no end of its own: it may take as long as it is taken, piece after piece."""
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_TYPE = ("Content-Type",)
_ENCODER = msgspec.json.Encoder()


class Answer(NamedTuple):
    """A vendor's answer, read whole."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


def route(template: str, *ids: str) -> str:
    """Return a path with each `{}` of *template* replaced by an id, escaped whole.

    Raises:
        InvalidRequest: INVALID_RESOURCE_NAME for an id that a server would take for a step in the path.
    """
    for text in ids:
        if text in {"", ".", ".."}:
            raise names.invalid_name(text, "Destination")
    return template.format(*(quote(text, safe="") for text in ids))


class Http:
    """Calls to one base URL, which may hold a path prefix."""

    def __init__(
        self,
        transport: Transport,
        base_url: str,
        *,
        auth: Auth,
        read_fault: ReadFault,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.transport = transport
        self.auth = auth
        self._base = base_url.rstrip("/") + "/"
        self._read_fault = read_fault
        self._headers = {**(headers or {})}
        self._attempts = Attempts(transport, auth)
        self._flights: dict[tuple[object, ...], Flight[Answer]] = {}

    async def get(
        self,
        path: str,
        reply: type[T],
        *,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        resource: str = "",
        permission: str = "",
    ) -> T:
        """Read *path*; *resource* is the full name that a 404 is about, *permission* what a 403 misses."""
        answer = await self.send(
            "GET", path, query=query, headers=headers, resource=resource, permission=permission, retry=Retry.READ
        )
        return self.decode(answer, reply)

    async def send(
        self,
        method: str,
        path: str,
        *,
        retry: Retry,
        query: Query = (),
        json: object = msgspec.UNSET,
        body: bytes | File | None = None,
        headers: Mapping[str, str] | None = None,
        resource: str = "",
        conflict: str | None = None,
        permission: str = "",
        kind: str = "",
    ) -> Answer:
        """Send one call, again as its retry class allows, and return the 2xx answer.

        *conflict* is the reason that a 409 stands for, *permission* what a 403 misses, in the vendor's words. *kind* is
        the class that its turn is of, where that is not just reads or writes. A GET that is the same as one under way
        shares its answer.

        Raises:
            VendorError: As `adapters.errors` draws it.
            Overloaded: Too many calls of this connection are under way.
        """
        if json is not msgspec.UNSET:
            body = _ENCODER.encode(json)
            headers = {"Content-Type": "application/json", **(headers or {})}
        url = self._url(path, query)
        session = self.transport.fresh if retry is Retry.ONCE else self.transport.pooled
        timeouts = self.transport.timeouts
        upload = len(body or b"") > UPLOAD_BYTES

        async def once(given: Mapping[str, str], left_s: float) -> Answer:
            # Of a write that must not be sent twice it counts whether it left whole, an empty body too.
            sent = None if body is None and retry is not Retry.ONCE else Body(body or b"", idle_s=timeouts.idle_s)
            total_s = left_s if upload or retry is Retry.ONCE else min(left_s, timeouts.attempt_s)
            try:
                async with session.request(
                    method,
                    url,
                    data=sent,
                    headers={**self._headers, **given, **(headers or {})},
                    # aiohttp would call what has no type, or no body at all, an octet stream.
                    skip_auto_headers=None if method == "GET" else _TYPE,
                    allow_redirects=False,
                    timeout=self._timeout(total_s, read_s=timeouts.idle_s if upload else None),
                ) as response:
                    if retry is Retry.ONCE and response.status < 300:  # noqa: PLR2004 - 2xx
                        # It was taken, whether or not what follows can be read.
                        calls.current().accepted = True
                    answer = await self._read(response)
            except LOST as error:
                raise named_loss(self.transport, retry, error, sent) from None
            if answer.status < 300:  # noqa: PLR2004 - 2xx
                call = calls.current()
                if call.polling:
                    call.ask_again_s = max(call.ask_again_s, self._wait_s(answer, None) or 0.0)
                return answer
            accepted = sent is None or sent.whole
            raise self._refusal(answer, retry if accepted else Retry.READ, resource, conflict, permission)

        transport = self.transport
        operation_s = math.inf if upload else timeouts.operation_s
        deadline = self._attempts.deadline(retry, operation_s)
        places = transport.polling if calls.current().polling else transport.places
        reads = retry is Retry.READ
        ask = Ask(retry, operation_s, kind or (READS if reads else WRITES), places)
        if reads and method == "GET":
            given = tuple(headers.items()) if headers else ()
            return await self._shared(once, ask, deadline, url, given, resource, conflict, permission)
        transport.writes += not reads
        try:
            return await self._attempts.run(once, ask, deadline)
        finally:
            transport.writes += not reads

    def decode(self, answer: Answer, reply: type[T]) -> T:
        """Return the body of *answer* as a wire type.

        Raises:
            ProtocolViolation: With the place in the JSON.
        """
        try:
            return msgspec.json.decode(answer.body, type=reply)
        except _UNREADABLE as error:
            content_type = answer.headers.get("Content-Type", "no content type")[:MAX_VENDOR_MESSAGE_CHARS]
            message = f"{self.transport.vendor} answered {answer.status} ({content_type}), not as documented: {error}"
            raise self.named(ProtocolViolation(message, fault=Fault(http_status=answer.status))) from None

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        offset: int = 0,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        resource: str = "",
        conflict: str | None = None,
        permission: str = "",
    ) -> AsyncIterator[Stream]:
        """Open a download at *offset* bytes: by Range where the vendor honours it, by skipping otherwise.

        Nothing is read ahead of the reader but a socket's buffer, and the whole has no end but the caller's deadline.
        """
        url = self._url(path, query)
        ranged = {"Range": f"bytes={offset}-"} if offset else {}
        timeouts = self.transport.timeouts

        async def once(given: Mapping[str, str], left_s: float) -> aiohttp.ClientResponse:
            try:
                # Not `total`: once it has begun, a download ends by its own idle time alone.
                async with asyncio.timeout(left_s):
                    response = await self.transport.pooled.get(
                        url,
                        headers={**self._headers, **given, **ranged, **(headers or {})},
                        allow_redirects=False,
                        timeout=self._timeout(None, read_s=timeouts.idle_s),
                    )
                    if streams.is_open(response, offset):
                        return response
                    async with response:
                        answer = await self._read(response)
            except LOST as error:
                raise named_loss(self.transport, Retry.READ, error) from None
            if streams.beyond_the_end(response, offset):
                raise invalid_field("read_offset", "beyond the end of the file")
            raise self._refusal(answer, Retry.READ, resource, conflict, permission)

        places = self.transport.downloads
        ask = Ask(Retry.READ, timeouts.operation_s, READS, places, stays=True)
        response = await self._attempts.run(once, ask, self._attempts.deadline(Retry.READ, timeouts.operation_s))
        try:
            yield streams.stream(self.transport, response, offset)
        finally:
            # Not release(): a reader that stopped early must not leave the vendor sending.
            response.close()
            places.give_back()

    def named(self, error: V) -> V:
        """Return *error* with the vendor and the connection on it."""
        return self.transport.named(error)

    def missing(self, resource: str, fault: Fault | None = None) -> NotFound:
        """Return the error for a *resource* (full name) that the vendor does not have."""
        return self.named(
            NotFound(
                f"{self.transport.vendor} has no {resource or 'such resource'}",
                fault=fault,
                reason=names.NOT_FOUND_REASONS[names.kind(resource)] if resource else None,
                resource=resource,
            )
        )

    def _url(self, path: str, query: Query) -> URL:
        text = self._base + path.lstrip("/")
        return URL(f"{text}?{urlencode(query, quote_via=quote)}" if query else text, encoded=True)

    def _timeout(self, total_s: float | None, *, read_s: float | None) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(
            total=None if total_s == math.inf else total_s,
            # The look-up of the host's address included, which `sock_connect` would leave out.
            connect=self.transport.timeouts.connect_s,
            sock_read=read_s,
            # Above this aiohttp rounds up to whole seconds, past the caller's deadline.
            ceil_threshold=math.inf,
        )

    async def _shared(self, once: Once[Answer], ask: Ask, deadline: float, *what: object) -> Answer:
        """Make a read, unless *what* it asks for is just being read: then wait for that."""
        clock = asyncio.get_running_loop().time
        # What was read before a write is old, so nobody joins it after the write; nor does a caller wait in the line of
        # pollers, which is longer.
        while flight := self._flights.get(key := (self.transport.writes, ask.places, *what)):
            call, started = calls.current(), clock()
            call.leave()
            try:
                with ask.places.followers:
                    shared = await flight.follow(deadline)
            finally:
                call.vendor_s += clock() - started
                call.back()
            if shared is not None:
                return shared
            if clock() >= deadline:
                raise self._attempts.late("no answer to the same call of another caller in time")
        flight = self._flights[key] = Flight()
        outcome: Answer | VendorError | None = None
        try:
            outcome = answer = await self._attempts.run(once, ask, deadline)
        except VendorError as error:
            # Others may have more time than this one had.
            outcome = None if error.hurried else error
            raise
        finally:
            del self._flights[key]
            flight.end(outcome)
        return answer

    async def _read(self, response: aiohttp.ClientResponse) -> Answer:
        chunks: list[bytes] = []
        size = 0
        try:
            while chunk := await response.content.readany():
                size += len(chunk)
                if size > MAX_ANSWER_BYTES:
                    message = f"{self.transport.vendor} answered with more than {MAX_ANSWER_BYTES} bytes"
                    raise self.named(ProtocolViolation(message, fault=Fault(http_status=response.status)))
                chunks.append(chunk)
        except (*LOST, ProtocolViolation):
            # Of a refusal the status line says enough, and what there is of the body may say more.
            if response.status < 300:  # noqa: PLR2004 - 2xx
                raise
        return Answer(response.status, response.headers, b"".join(chunks))

    def _refusal(
        self, answer: Answer, retry: Retry, resource: str, conflict: str | None, permission: str
    ) -> VendorError:
        try:
            fault = self._read_fault(answer.status, answer.headers, answer.body)
        except _UNREADABLE:
            # The page of a proxy, say: the status line has to do.
            fault = Fault()
        fault = replace(
            fault,
            http_status=answer.status,
            code=fault.code[:MAX_VENDOR_MESSAGE_CHARS],
            message=self._shown(fault.message),
            request_id=fault.request_id[:MAX_VENDOR_MESSAGE_CHARS],
            fields=tuple((path, self._shown(text)) for path, text in fault.fields),
            retry_after_s=self._wait_s(answer, fault.retry_after_s),
        )
        kind = fault.kind or kind_of_answer(answer.status, retry)
        if kind is NotFound:
            return self.missing(resource, fault)
        reason = conflict if kind is Conflict else None
        metadata = {"permission": permission} if permission and kind is PermissionMissing else {}
        message = f"{self.transport.vendor} answered {answer.status}"
        return self.named(kind(message, fault=fault, reason=reason, metadata=metadata, resource=resource))

    def _wait_s(self, answer: Answer, said_s: float | None) -> float | None:
        """Return the wait that *answer* asks for, in its body's words or else in its header."""
        wait_s = retry_after_s(answer.headers, self.transport.now()) if said_s is None else said_s
        return believed_s(wait_s, self.transport.policy.retry_after_max_s)

    def _shown(self, text: str) -> str:
        return scrub(text, self.auth.secrets())[:MAX_VENDOR_MESSAGE_CHARS]
